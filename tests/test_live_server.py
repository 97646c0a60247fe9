"""Who may ask for the live page, and that the run waits for nobody who does."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from live_made import TOKEN, Going, served

from fewfit.cli.main import run as command
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.live import server as serving
from fewfit.live import view as viewing
from fewfit.live.server import MOST, Server
from fewfit.live.view import Shown, View
from fewfit.live.watching import ADDRESS, watching
from fewfit.run import folders

PATH = f"/{TOKEN}"


@pytest.fixture
def going(tmp_path: Path) -> Going:
    run = Going(tmp_path / "run")
    run.predict(10)
    return run


@pytest.fixture
def view(going: Going, monkeypatch: pytest.MonkeyPatch) -> View:
    monkeypatch.setattr(viewing, "AT_MOST_EVERY", 0.0)
    monkeypatch.setattr(serving, "LOOK", 0.02)
    made = View()
    made.begin(going.info)
    return made


@pytest.fixture
def server(view: View) -> Iterator[Server]:
    with served(view) as made:
        yield made


def ask(
    server: Server, path: str = PATH, method: str = "GET", hosts: list[str] | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for host in [f"127.0.0.1:{server.port}"] if hosts is None else hosts:
        connection.putheader("Host", host)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


# ---- who may ask -----------------------------------------------------------------------------------------------------


def test_the_address_opens_the_page(server: Server) -> None:
    status, headers, body = ask(server)
    assert status == 200 and "10 of 40" in body and server.url.endswith(PATH)
    assert headers["content-type"] == "text/html; charset=utf-8" and headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "access-control-allow-origin" not in headers
    assert headers["referrer-policy"] == "no-referrer" and headers["cross-origin-resource-policy"] == "same-origin"


WRONG = (
    "/", "", "/favicon.ico", "/../run.json", PATH[:-1], PATH + "x", PATH + "/", PATH + "?", PATH.upper(),
    "/%61" + TOKEN[1:], "http://127.0.0.1" + PATH,
)  # fmt: skip


@pytest.mark.parametrize("path", WRONG)
def test_no_other_address_does(server: Server, path: str) -> None:
    """Break seen to fail: `startswith` in place of the comparison."""
    status, _, body = ask(server, path or "*")
    assert status == 404 and "40" not in body and TOKEN not in body


def test_the_host_header_has_to_name_this_server(server: Server) -> None:
    """Else a name that another site has made point here would do. Break seen to fail: Host not looked at."""
    port = server.port
    assert ask(server, hosts=[f"localhost:{port}"])[0] == 200
    other = ([], [""], [f"evil.example:{port}"], ["127.0.0.1"], [f"127.0.0.1:{port + 1}"], [f"127.0.0.1.evil:{port}"],
             [f"127.0.0.1:{port}", "evil.example"], [f"127.0.0.1:{port}", f"127.0.0.1:{port}"])  # fmt: skip
    for hosts in other:
        status, _, body = ask(server, hosts=hosts)
        assert status == 403 and "40" not in body, hosts


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_nothing_but_get(server: Server, method: str) -> None:
    """Break seen to fail: `do_POST = do_GET`."""
    status, headers, body = ask(server, method=method)
    assert (status, headers["allow"]) == (405, "GET") and "10 of" not in body


def test_what_is_no_request_gets_no_page(server: Server) -> None:
    for sent in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET " + b"/x" * 40_000 + b" HTTP/1.1\r\n\r\n",
    ):
        got = b""
        line = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        with line, suppress(ConnectionError):  # what is too long is not read to its end
            line.sendall(sent)
            while piece := line.recv(4096):
                got += piece
        assert b"10 of 40" not in got and b"Traceback" not in got
    assert ask(server)[0] == 200


def test_only_this_machine_can_ask(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


# ---- how it is given -------------------------------------------------------------------------------------------------


def test_a_question_waits_for_another_page(server: Server, going: Going, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: answered at once with 304."""
    monkeypatch.setattr(serving, "HOLD", 10.0)
    tag = ask(server)[1]["etag"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, server, If_None_Match=tag)
        time.sleep(0.3)
        assert not asked.done()
        going.predict(12)
        status, headers, body = asked.result(timeout=8)
    assert status == 200 and "12 of 40" in body and headers["etag"] != tag
    monkeypatch.setattr(serving, "HOLD", 0.1)
    status, _, body = ask(server, If_None_Match=ask(server)[1]["etag"])
    assert (status, body) == (304, "")


def test_many_at_once_get_one_page(going: Going, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made once a second at the most, however many ask. Breaks seen to fail: no lock; no AT_MOST_EVERY."""
    made: list[str] = []
    real = View._make

    def counted(self: View, state: str) -> str:
        made.append(state)
        time.sleep(0.05)
        return real(self, state)

    monkeypatch.setattr(View, "_make", counted)
    monkeypatch.setattr(viewing, "AT_MOST_EVERY", 60.0)
    view = View()
    view.begin(going.info)
    with served(view) as server, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda k: ask(server), range(48)))
        going.predict(20)
        answers += [ask(server)]
    assert {status for status, _, _ in answers} == {200} and len({body for _, _, body in answers}) == 1
    assert len(made) == 1


@pytest.mark.slow
def test_silent_connections_hold_up_nobody(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have their own threads, no more than so many, and not for long. Breaks seen to fail: one thread for all; no
    `timeout`; places not given back."""
    monkeypatch.setattr(serving.Handler, "timeout", 1.0)
    with served(view) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(MOST - 1)]
        assert ask(server)[0] == 200
        silent += [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(3)]
        assert silent[-1].recv(1) == b"", "there is no place left"
        assert [line.recv(1) for line in silent] == [b""] * len(silent), "nor are they waited for"
        for line in silent:
            line.close()
        assert ask(server)[0] == 200


def test_the_run_does_not_wait_for_a_page(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: `row` under the lock that pages are made under."""
    inside, leave = threading.Event(), threading.Event()

    def stuck(self: View, state: str) -> str:
        inside.set()
        assert leave.wait(20)
        return ""

    monkeypatch.setattr(View, "_make", stuck)
    with served(view) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, server)
        assert inside.wait(20)
        told = threading.Thread(
            target=lambda: (
                view.row("icl-2", 0, {}, 0.5),
                view.lane("icl-2", 0, "done"),
                view.phase("x"),
                view.end(None),
            )
        )
        told.start()
        told.join(5)
        waits = told.is_alive()
        leave.set()
        asked.result(timeout=10)
    assert not waits


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_open_pages_are_told_of_the_end(
    server: Server, view: View, going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, whenever they last asked. Break seen to fail: the end of the run waits its turn as rows do."""
    monkeypatch.setattr(viewing, "AT_MOST_EVERY", 60.0)
    tag = ask(server)[1]["etag"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, server, If_None_Match=tag)
        time.sleep(0.2)
        going.finish()
        view.end(folders.result(going.folder))
        server.stop()
        status, _, body = asked.result(timeout=10)
    assert status == 200 and 'data-state="done"' in body


def test_a_page_looks_once_more_when_the_server_closes(
    server: Server, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made just before may be old. Break seen to fail: the loop left as soon as the server closes."""
    old, end = Shown(b"old", "old"), Shown(b"end", "end")

    def shown() -> Shown:
        if server.closing:
            return end
        server.closing = True
        return old

    monkeypatch.setattr(view, "shown", shown)
    assert ask(server, If_None_Match="old")[2] == "end"


def test_where_nobody_looks_the_end_waits_for_nobody(view: View) -> None:
    server = Server(view, TOKEN, 0)
    server.start()
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < serving.LAST_WORDS
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


# ---- where it is -----------------------------------------------------------------------------------------------------


def test_a_run_that_goes_on_is_watched_where_it_was(going: Going) -> None:
    """A page that is still open finds it. Break seen to fail: a new token each time."""
    told: list[str] = []

    def address(result: dict[str, Any] | None, **more: Any) -> str:
        with watching(True, tell=told.append, **more) as watch:
            assert watch is not None
            watch.begin(going.info)
            kept = going.folder / ADDRESS
            assert json.loads(kept.read_text())["token"] in told[-1]
            watch.end(result)
        return told[-1]

    first = address(None)
    assert "http://127.0.0.1:" in first and len(first.rpartition("/")[2]) >= 32
    assert address(None, run=going.folder) == first
    assert address(None) != first, "another run has another"
    kept = json.loads((going.folder / ADDRESS).read_text())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (going.folder / ADDRESS).write_text(json.dumps({**kept, "port": taken.getsockname()[1]}))
        assert address(None, run=going.folder).endswith(kept["token"])
    (going.folder / ADDRESS).write_text("not JSON")
    address({}, run=going.folder)
    assert not (going.folder / ADDRESS).exists(), "a run that is done is not gone on with"


def test_ports_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="--watch-port 70000"), watching(True, port=70000):
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match="cannot listen"), watching(True, port=port):
            pass
    (tmp_path / "data.csv").write_text("text,label\na,b\n")
    assert command(["fit", str(tmp_path / "data.csv"), "--model", "lab", "--watch-port", "9"]) == 2
    assert "--watch-port without --watch" in capsys.readouterr().err
