"""Who may ask, before anything is read of what: host, origin, key, kind and size of the body.

A page of some other site that the user has open can send requests to a server on the user's own machine, under a name
that it has made point there. So Host has to be a name of this server, Origin, where a browser tells it, this server
itself, and no answer ever says that another site may read it.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

from fewfit.serve.limits import Limits
from fewfit.serve.metrics import Metrics
from fewfit.serve.refusal import Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
OWN_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
OPEN = frozenset({"/", "/health"})  # without a key: nothing of anybody's is told there
UNKNOWN = "other"


@dataclass(frozen=True)
class Gate:
    """`hosts` None: any, where a key is needed. `paths` are those that exist."""

    app: Callable[[Scope, Receive, Send], Awaitable[None]]
    limits: Limits
    metrics: Metrics
    hosts: frozenset[str] | None
    key: str | None
    paths: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 499  # what is counted where a client went without an answer

        async def counted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            try:
                self._check(scope)
                body = await self._body(scope, receive)
            except Refusal as refusal:
                await refuse(refusal, counted)
                return
            if body is not None:
                await self.app(scope, replayed(body, receive), counted)
        finally:
            path = scope["path"] if scope["path"] in self.paths else UNKNOWN
            self.metrics.count_request(path, status, time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in (b"host", b"origin", b"authorization", b"content-type"):
                raise Refusal(400, f"two headers {name.decode('latin-1')}", code="bad_header")
            headers[name] = value
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.hosts is not None and without_port(host) not in self.hosts:
            raise Refusal(403, "the Host header names another server", code="bad_host")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() not in (f"http://{host}", f"https://{host}"):
            raise Refusal(403, "pages of other sites may not ask here", code="bad_origin")
        if self.key is not None and scope["path"] not in OPEN:
            self._check_key(headers.get(b"authorization", b""))
        if scope["method"] in ("POST", "PUT", "PATCH"):
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind != b"application/json":
                raise Refusal(415, "the body has to be application/json", code="bad_content_type")

    def _check_key(self, given: bytes) -> None:
        assert self.key is not None
        if not given:
            raise Refusal(401, "an API key is needed here: Authorization: Bearer KEY", code="invalid_api_key")
        kind, _, key = given.partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(key.strip(), self.key.encode()):
            raise Refusal(401, "no such API key", code="invalid_api_key")

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """All of it; None where the client has gone."""
        most = self.limits.body
        told = dict(scope["headers"]).get(b"content-length", b"")
        too_large = Refusal(413, f"the body is larger than {most} bytes", code="too_large")
        if told.isdigit() and int(told) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.patience):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {self.limits.patience:g} s", code="too_slow") from None


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body once, then what else comes: that the client has gone."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_message


async def refuse(refusal: Refusal, send: Send) -> None:
    content = refusal.content()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",  # what has not been read of the body stays so
        **refusal.headers(),
    }
    coded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": coded})
    await send({"type": "http.response.body", "body": content})


def without_port(host: str) -> str:
    """`[::1]:8000` and `localhost:8000` without the port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and not (name.startswith("[") and not name.endswith("]")) else host
