"""Connections that may not be held for nothing: too many are turned away, and a head that does not come ends one."""

from __future__ import annotations

from typing import Any

from fewfit.serve.limits import Limits
from fewfit.serve.refusal import Refusal


def connection(limits: Limits) -> type:
    """uvicorn's own protocol, which by itself waits for a head forever, and tells of too many in plain text."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        _timer: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self._turn_away(Refusal(503, "too many connections", code="too_many_connections"))
            else:
                self._wait(limits.patience)

        def on_response_complete(self) -> None:
            answered = self.cycle
            super().on_response_complete()  # begins the next request, where its head has come already
            self._wait(limits.patience + self.timeout_keep_alive, answered)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def _wait(self, seconds: float, answered: Any = None) -> None:
            """Until the head of another request has come."""
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_later(seconds, self._look, answered)

        def _look(self, before: Any) -> None:
            if self.cycle is before:
                self._turn_away(Refusal(408, "the request did not come", code="too_slow"))

        def _turn_away(self, refusal: Refusal) -> None:
            if self.transport.is_closing():
                return
            content = refusal.content()
            head = (
                f"HTTP/1.1 {refusal.status} {refusal.message}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + content)
            self.transport.close()

    return Connection
