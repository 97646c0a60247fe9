"""Connections to a server that say nothing, say it slowly, or are too many."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
from serve_made import Served, bundles, served
from test_serve_guard import HEAD, ask, connected, read, small, until

from fewfit.serve import Limits
from fewfit.serve.hosted import HostedBase

HURRIED = Limits(patience=1.0, idle=1, connections=20)


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = bundles(tmp_path_factory.mktemp("bundles"))["labels"]
    with served({"labels": folder}, limits=HURRIED) as found:
        yield found


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1/comp", HEAD, HEAD + b"Content-Length: 500\r\n\r\n{"],
    ids=["nothing", "part of a line", "part of a head", "part of a body"],
)
def test_who_is_too_slow_is_turned_away(hurried: Served, sent: bytes) -> None:
    """Breaks seen to fail: no clock for the head; none for the body."""
    with connected(hurried, sent) as connection:
        told = read(connection, b'"code": "too_slow"')
    assert told.startswith(b"HTTP/1.1 408 ") and b'"code": "too_slow"' in told


@pytest.mark.slow
def test_a_second_request_may_not_be_slow_either(hurried: Served) -> None:
    body = json.dumps(small()).encode()
    with connected(hurried, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body) as connection:
        assert read(connection, b'"total_tokens"').startswith(b"HTTP/1.1 200 ")
        connection.sendall(HEAD)
        assert read(connection, b"too_slow").startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
def test_a_request_sent_behind_another_has_its_time(hurried: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: the clock of the first runs on, and ends the second while it is answered."""
    whole = HostedBase.written

    def written(self: HostedBase, prompt: Any, **settings: Any) -> Any:
        if prompt == "A slow one":
            time.sleep(HURRIED.patience + HURRIED.idle + 1.5)
        return whole(self, prompt, **settings)

    monkeypatch.setattr(HostedBase, "written", written)
    bodies = [json.dumps(one).encode() for one in (small(), small(prompt="A slow one"))]
    both = b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies)
    with connected(hurried, both) as connection:
        told = read(connection, b'"total_tokens"')
        told += read(connection, b'"total_tokens"') if told.count(b'"total_tokens"') == 1 else b""
    assert told.count(b"HTTP/1.1 200 ") == 2 and b"408" not in told


def test_too_many_connections_are_turned_away(hurried: Served) -> None:
    """Break seen to fail: no limit."""
    held = [connected(hurried, b"") for _ in range(HURRIED.connections)]
    try:
        with connected(hurried, b"") as one_more:
            assert b"too_many_connections" in read(one_more, b"too_many_connections")
    finally:
        for connection in held:
            connection.close()
    until(lambda: ask(hurried, path="/health", method="GET")[0] == 200)
