"""What a server refuses, how it says so, and that nobody can hold its places for nothing."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
import openai
from serve_made import Served, bundles, served

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.serve import Limits
from fewfit.serve.serving import Address, address, listen

LIMITS = Limits(body=20_000, queue=6, texts=4, seconds=60, new_tokens=3000)


def read(connection: socket.socket, mark: bytes) -> bytes:
    """What comes up to the mark, or to the end."""
    told = b""
    while mark not in told and (more := connection.recv(10_000)):
        told += more
    return told


HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LONG = {"model": "base", "prompt": "The sea", "max_tokens": 3000}  # no end of text comes in it


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = bundles(tmp_path_factory.mktemp("bundles"))
    return {"labels": made["labels"]}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[Served]:
    with served(folders, limits=LIMITS) as found:
        yield found


@pytest.fixture(scope="module")
def keyed(folders: dict[str, Path]) -> Iterator[Served]:
    with served(folders, at=Address(port=0, key="a secret")) as found:
        yield found


def ask(
    server: Served,
    body: Any = None,
    *,
    path: str = "/v1/completions",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    raw: bytes | None = None,
) -> tuple[int, Any]:
    """Status and body, JSON where it is."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} if method == "POST" else {}
    connection.request(method, path, sent, {**given, **(headers or {})})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if "json" in answer.headers["content-type"] else content.decode()


def until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def small(**more: Any) -> dict[str, Any]:
    return {"model": "base", "prompt": "The sea", "max_tokens": 2, **more}


# ---- errors in OpenAI's form -----------------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"model": "base"}, "prompt"),
    "a number": (small(prompt=3), "prompt"),
    "empty": (small(prompt=""), "empty"),
    "a model that is not there": (small(model="gone"), "labels, base"),
    "too hot": (small(temperature=9), "temperature"),
    "not a number": (small(temperature="warm"), "temperature"),
    "no tokens": (small(max_tokens=0), "max_tokens"),
    "too many tokens": (small(max_tokens=4000), "3000"),
    "too long for the model": (small(prompt="sea " * 2000, max_tokens=2999), "4096"),
    "too many answers": (small(n=65), "n"),
    "more than the queue holds": (small(n=7), "7 texts and labels, and the queue holds 6"),
    "unknown": (small(guided_json={}), "guided_json is not offered"),
    "a penalty": (small(frequency_penalty=0.5), "frequency_penalty"),
    "five stops": (small(stop=list("abcde")), "stop"),
    "an empty stop": (small(stop=""), "stop"),
    "echo": (small(echo=True), "echo"),
    "half a character": (small(prompt="\ud800"), "prompt"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_in_openais_form(server: Served, name: str) -> None:
    body, words = BAD[name]
    status, told = ask(server, body)
    assert status == (404 if "model that" in name else 400)
    assert set(told["error"]) == {"message", "type", "param", "code"}
    assert words in told["error"]["message"] and told["error"]["type"] == "invalid_request_error"


CHATS: dict[str, dict[str, Any]] = {
    "ends with an answer": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "tools": {"messages": [{"role": "user", "content": "a"}], "tools": []},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
    "an unknown role": {"messages": [{"role": "tool", "content": "a"}]},
    "no message": {"messages": []},
    "blank": {"messages": [{"role": "user", "content": "  "}]},
    "ranks without logprobs": {"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2},
}


@pytest.mark.parametrize("model", ["base", "labels"])
@pytest.mark.parametrize("name", CHATS)
def test_conversations_that_are_refused(server: Served, name: str, model: str) -> None:
    status, told = ask(server, {"model": model, **CHATS[name]}, path="/v1/chat/completions")
    assert status == 400 and told["error"]["message"]


def test_the_client_raises_what_it_raises_elsewhere(server: Served, keyed: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        server.client().completions.create(model="base", prompt="a", temperature=5)
    with pytest.raises(openai.NotFoundError, match="no model 'x'"):
        server.client().completions.create(model="x", prompt="a")
    with pytest.raises(openai.AuthenticationError, match="no such API key"):
        keyed.client("another").models.list()
    assert "is needed" in ask(keyed, path="/v1/models", method="GET")[1]["error"]["message"]
    with pytest.raises(openai.BadRequestError, match="no layout for labels"):
        server.client().post("/label", cast_to=object, body={"model": "base", "input": "a"})


def test_odd_requests(server: Served) -> None:
    status, told = ask(server, raw=b"{bad")
    assert status == 400 and "the body is not JSON: " in told["error"]["message"] and told["error"]["param"] is None
    assert ask(server, raw=b"[" * 10_000)[0] == 400
    assert ask(server, raw=b"\xff")[0] == 400
    assert ask(server, [])[0] == 400
    assert ask(server, path="/v1/nothing")[0] == 404
    assert ask(server, method="GET")[0] == 405
    for path in ("/v1/nothing", "/v1/models/gone"):
        status, told = ask(server, path=path, method="GET")
        assert status == 404 and told["error"]["message"]


# ---- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example:80"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
    ids=str,
)
def test_other_sites_are_kept_out(server: Served, headers: dict[str, str], status: int) -> None:
    """Breaks seen to fail: Host not looked at; Origin not looked at; any kind of body taken."""
    assert ask(server, small(), headers=headers)[0] == status


def test_no_other_site_may_read_an_answer(server: Served) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("OPTIONS", "/v1/completions", headers={"Origin": server.url})
    answer = connection.getresponse()
    assert answer.status == 405 and not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_a_key_is_asked_for(keyed: Served) -> None:
    """Break seen to fail: a key that begins like the right one let in."""
    assert keyed.client("a secret").models.list().data[0].id == "labels"
    for given in (None, "Bearer", "Bearer a", "Bearer a secret more", "Basic a secret", "Bearer ä"):
        for path, method in (("/v1/models", "GET"), ("/metrics", "GET"), ("/v1/completions", "POST")):
            headers = {} if given is None else {"Authorization": given}
            status, told = ask(keyed, small() if method == "POST" else None, path=path, method=method, headers=headers)
            assert status == 401 and "secret" not in str(told)
    assert ask(keyed, path="/health", method="GET") == (200, {"status": "ok"})


def test_addresses_of_other_machines_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--api-key-env"):
        address("0.0.0.0", 8000, None)
    monkeypatch.setenv("A_KEY", "")
    with pytest.raises(UserError, match="A_KEY"):
        address("127.0.0.1", 8000, "A_KEY")
    monkeypatch.setenv("A_KEY", "k")
    assert address("0.0.0.0", 8000, "A_KEY").key == "k" and address("127.0.0.1", 1, None).key is None
    own = {"127.0.0.1", "localhost", "[::1]"}  # break seen to fail: the server's own address kept out
    for host, named in (("192.168.1.5", "192.168.1.5"), ("FD00::5", "[fd00::5]")):
        assert Address(host, key="k", names=("Proxy.local",)).hosts == own | {named, "proxy.local"}
        assert Address(host, key="k").hosts is None
    assert Address().hosts == own
    with pytest.raises(UserError, match="--port"):
        address("127.0.0.1", 70_000, None)
    with pytest.raises(EnvironmentProblem, match="--host"):
        listen(Address("192.0.2.1", port=0))
    with listen(Address(port=0)) as taken, pytest.raises(EnvironmentProblem, match="cannot listen"):
        listen(Address(port=taken.getsockname()[1]))


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_bodies_that_are_too_large(server: Served) -> None:
    """Told by its length, and sent without one. Break seen to fail: only the length that is told counts."""
    assert ask(server, small(prompt="x" * 30_000))[0] == 413
    chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    with connected(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk) as connection:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 413 ")


def connected(server: Served, text: bytes) -> socket.socket:
    parts = urlsplit(server.url)
    made = socket.create_connection((parts.hostname, parts.port), timeout=20)
    made.sendall(text)
    return made


def test_a_full_queue_says_so(server: Served) -> None:
    """And is free again when those are done who had filled it. Break seen to fail: no limit."""
    scheduler = server.service.scheduler
    until(lambda: scheduler.under_way == 0)
    client = server.client()
    streams = [client.completions.create(**LONG, stream=True) for _ in range(LIMITS.queue)]
    with pytest.raises(openai.RateLimitError, match="queue is full") as told:
        client.completions.create(**small())
    assert told.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.RateLimitError):
        client.completions.create(**small(), stream=True)
    for stream in streams:
        stream.close()
    until(lambda: scheduler.under_way == 0)
    assert client.completions.create(**small()).choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_vanishes_frees_its_place(server: Served, stream: bool) -> None:
    """In the middle of a stream, and while it waits for the whole. Break seen to fail: jobs that are not cancelled."""
    scheduler = server.service.scheduler
    until(lambda: scheduler.under_way == 0)
    body = json.dumps({**LONG, "stream": stream}).encode()
    connection = connected(server, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    until(lambda: scheduler.under_way == 1)
    if stream:
        connection.recv(200)
    begun = server.service.metrics.text()
    connection.close()
    until(lambda: scheduler.under_way == 0, seconds=5)
    new = int(new_tokens(server.service.metrics.text())) - int(new_tokens(begun))
    assert new < 2500, "it was written to its end"


def new_tokens(text: str) -> str:
    return text.split('fewfit_tokens_total{kind="new"} ')[1].split("\n")[0]


def test_an_answer_that_takes_too_long_is_given_up(folders: dict[str, Path]) -> None:
    """Break seen to fail: no clock."""
    with served(folders, limits=Limits(seconds=0.3)) as server:
        with pytest.raises(openai.InternalServerError, match="not done within") as told:
            server.client().completions.create(**LONG)
        assert told.value.status_code == 504
        with pytest.raises(openai.APIError, match="not done within"):
            list(server.client().completions.create(**LONG, stream=True))
        until(lambda: server.service.scheduler.under_way == 0)


def test_a_forward_that_fails_fails_its_requests_alone(
    folders: dict[str, Path], monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """And is logged once for each time. Breaks seen to fail: the thread ends with the error; streams logged nowhere."""
    from fewfit.engine.joint import Memory, Writing

    with served(folders) as server:
        whole = Memory.read
        monkeypatch.setattr(Memory, "read", lambda *_: (_ for _ in ()).throw(MemoryError("of somebody's text")))
        with pytest.raises(openai.InternalServerError, match="MemoryError") as told:
            server.client().completions.create(**small())
        assert "somebody" not in str(told.value)
        with pytest.raises(openai.APIError, match="MemoryError"):
            list(server.client().completions.create(**small(), stream=True))
        logged = [one for one in caplog.records if one.exc_info and one.exc_info[0] is MemoryError]
        assert [one.name for one in logged] == 2 * ["fewfit.serve.scheduler"]
        monkeypatch.setattr(Memory, "read", whole)
        assert server.client().completions.create(**small()).choices[0].text
        add = Writing.add  # break seen to fail: taken in outside of what catches errors, it ended the thread
        monkeypatch.setattr(Writing, "add", lambda *_: (_ for _ in ()).throw(MemoryError("of somebody's text")))
        with pytest.raises(openai.InternalServerError, match="MemoryError"):
            server.client().completions.create(**small())
        monkeypatch.setattr(Writing, "add", add)
        assert server.client().completions.create(**small()).choices[0].text


@pytest.mark.slow
def test_what_is_under_way_is_finished_at_the_end(folders: dict[str, Path]) -> None:
    """Break seen to fail: no time left for it."""
    found: list[Any] = []
    with served(folders) as server:
        client = server.client()
        asked = {"model": "base", "prompt": "The sea", "max_tokens": 200}
        wanted = client.completions.create(**asked).choices[0].text

        def stream() -> None:
            found.append("".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)))

        def wait() -> None:
            found.append(client.completions.create(**asked).choices[0].text)

        threads = [threading.Thread(target=stream), threading.Thread(target=wait)]
        for thread in threads:
            thread.start()
        until(lambda: server.service.scheduler.under_way == 2)
    for thread in threads:
        thread.join()
    assert found == [wanted, wanted]
    with pytest.raises(openai.APIConnectionError):
        client.completions.create(**asked)


# ---- what is told of it ----------------------------------------------------------------------------------------------


def test_metrics_count_what_was_asked(server: Served) -> None:
    def count(path: str, status: int) -> int:
        line = f'fewfit_requests_total{{path="{path}",status="{status}"}} '
        text = ask(server, path="/metrics", method="GET")[1]
        return int(text.split(line)[1].split("\n")[0]) if line in text else 0

    before, odd = count("/v1/completions", 200), count("other", 404)
    ask(server, small())
    ask(server, path="/made-up", method="GET")
    assert count("/v1/completions", 200) == before + 1 and count("other", 404) == odd + 1
    text = ask(server, path="/metrics", method="GET")[1]
    assert "made-up" not in text and 'fewfit_request_seconds_bucket{le="+Inf"}' in text
    total = int(text.split("fewfit_request_seconds_count ")[1].split("\n")[0])
    assert f'le="+Inf"}} {total}\n' in text


def test_the_page_loads_nothing_and_runs_nothing_else(server: Served) -> None:
    import base64
    import hashlib
    import re

    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    text = answer.read().decode()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    for tag in ("script", "style"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"(src|href)=\"(?!data:,)|https?://|url\(|@import|innerHTML|\son[a-z]+=", text)


def test_the_description_is_of_these_addresses(server: Served) -> None:
    status, told = ask(server, path="/openapi.json", method="GET")
    assert status == 200 and {"/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/label"} <= set(
        told["paths"]
    )
