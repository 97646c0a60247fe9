"""A real HTTP server that answers as an OpenAI-compatible endpoint does, by a rule, and fails as it is told to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[str], str]
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]
Fault = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """`faults` are what the next requests meet instead of an answer, in turn. `rule` makes an answer of a prompt (of a
    conversation its last user turn); `answer`, where it is given, all of it."""

    daemon_threads = True

    def __init__(
        self,
        rule: Rule,
        *,
        paths: tuple[str, ...],
        echo: bool,
        seconds: float,
        key: str | None,
        answer: Answer | None,
        port: int,
    ):
        self.answer = answer or (lambda path, body: (completion if path == "/completions" else chat)(self, body))
        self.rule, self.paths, self.echo, self.seconds, self.key = rule, paths, echo, seconds, key
        self.faults: list[Fault] = []
        self.asked: list[dict[str, Any]] = []  # bodies of the requests that were answered
        self.calls = self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed hangs up."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.calls += 1
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            fault = server.faults.pop(0) if server.faults else None
        try:
            time.sleep(server.seconds)
            if fault is not None:
                fault(self)
            elif server.key is not None and self.headers.get("Authorization") != f"Bearer {server.key}":
                sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
                self.say(401, {"error": {"message": f"Incorrect API key provided: {sent}"}})
            elif (path := self.path.removeprefix("/v1")) not in server.paths:
                self.say(404, {"error": {"message": f"no route {self.path}"}})
            else:
                with server.lock:
                    server.asked.append(body)
                self.say(200, server.answer(path, body))
        finally:
            with server.lock:
                server.at_once -= 1

    def say(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)


# ---- answers ---------------------------------------------------------------------------------------------------------


def tokens(text: str) -> list[str]:
    """Words with the space before them, and everything else by itself."""
    return re.findall(r" ?\w+|\n\n|.|\n", text)


def usage(prompt: str, text: str) -> dict[str, int]:
    return {"prompt_tokens": len(tokens(prompt)), "completion_tokens": len(tokens(text)), "total_tokens": 0}


def chat(server: Server, body: dict[str, Any]) -> dict[str, Any]:
    text = server.rule(body["messages"][-1]["content"])
    prompt = " ".join(one["content"] for one in body["messages"])
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage(prompt, text)}


def completion(server: Server, body: dict[str, Any]) -> dict[str, Any]:
    prompt = body["prompt"]
    if body.get("echo") and server.echo:
        return echoed(server, prompt)
    text = " " + server.rule(last_item(prompt)) + "\n\nInput: and so on"
    text = "".join(tokens(text)[: body.get("max_tokens", body.get("max_completion_tokens"))])
    for stop in body.get("stop", ()):
        text = text.partition(stop)[0]
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
    return {"choices": [choice], "usage": usage(prompt, text)}


def last_item(prompt: str) -> str:
    return prompt.rpartition("Input: ")[2].partition("\n")[0]


def echoed(server: Server, prompt: str) -> dict[str, Any]:
    """With its token's log-probability at each place: high where the rule would have written it."""
    parts = [*tokens(prompt), "\n"]  # and the one token that is written
    wanted = tokens(prompt[: prompt.rindex("Output:") + 7]) if "Output:" in prompt else []
    right = tokens(" " + server.rule(last_item(prompt)) + "\n\n")
    logps: list[float | None] = [None]
    tops: list[dict[str, float] | None] = [None]
    on_track = True
    for place, part in enumerate(parts[1:], start=1):
        k = place - len(wanted)
        likely = right[k] if 0 <= k < len(right) and on_track else " so"
        on_track = on_track and (k < 0 or part == likely)
        logps.append(-0.1 if part == likely else -5.0)
        tops.append({likely: -0.1, " other": -2.5})
    logprobs = {"tokens": parts, "token_logprobs": logps, "top_logprobs": tops, "text_offset": []}
    choice = {"index": 0, "text": prompt + "\n", "finish_reason": "length", "logprobs": logprobs}
    return {"choices": [choice], "usage": usage(prompt, "\n")}


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def status(code: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda handler: handler.say(code, {"error": {"message": f"status {code}"}}, named)  # type: ignore[attr-defined]


def broken_json(handler: Any) -> None:
    handler.say(200, b'{"choices": [{"te')


def not_the_interface(handler: Any) -> None:
    handler.say(200, {"hello": "world"})


def cut(handler: Any) -> None:
    """Closed in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.close()


def silence(seconds: float) -> Fault:
    return lambda handler: time.sleep(seconds)


@contextmanager
def serving(
    rule: Rule = str.upper,
    *,
    paths: tuple[str, ...] = ("/completions", "/chat/completions"),
    echo: bool = False,
    seconds: float = 0.0,
    key: str | None = None,
    answer: Answer | None = None,
    port: int = 0,
) -> Iterator[Server]:
    server = Server(rule, paths=paths, echo=echo, seconds=seconds, key=key, answer=answer, port=port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
