"""Gives the page on 127.0.0.1, to whoever has its whole address.

Every other program and user of the machine can reach that port, and so can pages of other sites that the user has open,
under a name that they have made point there. So the address holds a token that nobody can guess, the Host header has to
be this server's own, only GET is answered, and no answer lets another site read or frame it.
"""

from __future__ import annotations

import hmac
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fewfit.errors import EnvironmentProblem
from fewfit.live.page import security_policy
from fewfit.live.view import View

HOST = "127.0.0.1"
HOLD = 15.0  # seconds that a question waits for another page
LOOK = 0.25  # between two looks in that time
SLOWEST = 10.0  # seconds for a request to come, and for an answer to be taken
MOST = 32  # connections
LAST_WORDS = 3.0  # seconds at the end, for pages that are open


class Server(ThreadingHTTPServer):
    """A thread a connection, none of which the run waits for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, view: View, token: str, port: int):
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot listen: {error.strerror or error}", where=f"{HOST}:{port}", hint="name another --watch-port"
            ) from None
        self.view, self.token = view, token
        self.closing = False
        self.asking: set[Handler] = set()
        self.last_asked = float("-inf")
        self._places = threading.BoundedSemaphore(MOST)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": LOOK}, daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/{self.token}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Pages that are open are told how it ended, and are not waited for longer than that takes."""
        self.closing = True
        deadline = time.monotonic() + LAST_WORDS
        if time.monotonic() - self.last_asked < HOLD + SLOWEST:
            time.sleep(LOOK)  # one that was just answered asks again
            while self.asking and time.monotonic() < deadline:
                time.sleep(0.05)
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """That a browser has gone is nothing to be told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = SLOWEST

    def do_GET(self) -> None:
        if self.headers.get_all("Host") not in self.own_names():
            self.refuse(403, "Another server is meant.")
        elif not hmac.compare_digest(self.path.encode(), f"/{self.server.token}".encode()):
            self.refuse(404, "There is nothing here.")
        else:
            self.show()

    def own_names(self) -> tuple[list[str], ...]:
        return [f"{HOST}:{self.server.port}"], [f"localhost:{self.server.port}"]

    def show(self) -> None:
        self.server.last_asked = time.monotonic()
        self.server.asking.add(self)
        try:
            known = self.headers.get("If-None-Match")
            shown, deadline = self.server.view.shown(), time.monotonic() + HOLD
            while shown.tag == known and time.monotonic() < deadline:
                if self.server.closing:
                    deadline = 0.0  # one last look: the end was told before
                else:
                    time.sleep(LOOK)
                shown = self.server.view.shown()
            if shown.tag == known:
                self.answer(304, b"", ETag=shown.tag)
            else:
                policy = security_policy()
                self.answer(200, shown.html, content_type="text/html", ETag=shown.tag, Content_Security_Policy=policy)
        finally:
            self.server.asking.discard(self)

    def refuse(self, status: int, text: str, **headers: str) -> None:
        self.answer(status, f"{text}\n".encode(), **headers)

    def answer(self, status: int, body: bytes, content_type: str = "text/plain", **headers: str) -> None:
        self.send_response_only(status)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if status != 304:
            self.send_header("Content-Type", f"{content_type}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What could not be read as a request; other methods than GET come here as 501."""
        if code == 501:
            self.refuse(405, "Only GET is answered here.", Allow="GET")
        else:
            self.refuse(code, "That is no request.")

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's business."""
