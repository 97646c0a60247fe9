"""`augment` by a model behind a real HTTP server: however it is stopped, no row is lost and nothing paid for twice."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import fewfit
from fewfit.cli.main import run
from fewfit.errors import FewfitError
from fewfit.models.remote import Endpoint, served, trouble
from fewfit.models.remote.cache import Answers
from fewfit.writing import Asked
from tests.endpoint_made import Server, broken_json, cut, serving, status
from tests.test_augment import BLOCK, LINES, turned

pytest.importorskip("openai")
TEXT, CHAT = ("/completions",), ("/chat/completions",)
TOKENS = 18  # of each request with its answer
CALLS = 1 + 2 * len(LINES)  # one to find out what it can do, and two prompts a sentence


def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    prompt = body["prompt"] if path == "/completions" else body["messages"][-1]["content"]
    said = [line for line in prompt.rstrip().split("\n") if line != "Turned round:"]
    text = turned(Asked("", said[-1].removeprefix("Sentence:"))).partition("\n\n")[0]
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": TOKENS}
    form = {"text": text} if path == "/completions" else {"message": {"role": "assistant", "content": text}}
    return {"choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, **form}], "usage": usage}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEWFIT_CACHE", "cache")
    for name in ("FEWFIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trouble, "FIRST_WAIT", 0.02)
    Path("data.jsonl").write_text("\n".join(LINES))


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What comes of it where nothing goes wrong, and no answer of it is kept."""
    with monkeypatch.context() as elsewhere, serving(answer=answer, paths=CHAT) as server:
        elsewhere.setenv("FEWFIT_CACHE", "elsewhere")
        assert run([*command(server)[:-1], "whole.jsonl"]) == 0
        assert server.calls == CALLS
    return Path("whole.jsonl").read_bytes()


def command(server: Server) -> list[str]:
    return ["augment", "data.jsonl", "--with", "m", "--base-url", server.url, "--quiet", "--out", "out.jsonl"]


def assert_whole(server: Server, wanted: bytes) -> None:
    """Every row is there, and every request was answered once."""
    assert Path("out.jsonl").read_bytes() == wanted
    bodies = [json.dumps(body, sort_keys=True) for body in server.asked]
    assert len(bodies) == len(set(bodies)) == CALLS


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.slow
def test_a_killed_command_goes_on_and_pays_for_nothing_twice(wanted: bytes) -> None:
    """Killed when the second block is half answered and further requests are on their way. Break seen to fail: what
    is kept not looked up."""
    answered, held = 1 + 3 * BLOCK, threading.Event()
    with serving(answer=answer, paths=CHAT) as server:
        server.faults = [None] * answered + [lambda handler: held.wait(60)] * CALLS  # type: ignore[list-item]
        process = subprocess.Popen([sys.executable, "-m", "fewfit", *command(server)])
        answers, until = Answers(), time.monotonic() + 60
        try:
            while sum(one.answers for one in answers.kept()) < answered or server.calls == answered:
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.01)
        finally:
            process.kill()
            process.wait()
        server.faults.clear()
        held.set()
        assert len(server.asked) == answered and 0 < Path("out.jsonl").stat().st_size < len(wanted)
        assert subprocess.run([sys.executable, "-m", "fewfit", *command(server)]).returncode == 0
        assert_whole(server, wanted)


@pytest.mark.slow
def test_silence_is_told_in_one_line_and_survived(
    wanted: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Break seen to fail: a timeout told as a connection that failed."""
    for name, value in (("timeout", 1.0), ("retries", 1)):
        monkeypatch.setitem(Endpoint.__init__.__kwdefaults__, name, value)
    held = threading.Event()
    with serving(answer=answer, paths=CHAT) as server:
        server.faults = [None] * 9 + [lambda handler: held.wait(60)] * CALLS  # type: ignore[list-item]
        assert run(command(server)) == 3
        assert one_line(capsys) == (
            f"fewfit: {server.url}: no answer in 2 tries, the last time: it did not answer in time; what was answered "
            "is kept; run it again when the endpoint is well"
        )
        server.faults = [lambda handler: held.wait(60)]
        assert run(command(server)) == 0
        held.set()
        assert_whole(server, wanted)


def test_what_stays_broken_is_told_in_one_line_and_gone_on_with(
    wanted: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breaks seen to fail: 500 taken for a refusal; answers kept not looked up."""
    with serving(answer=answer, paths=CHAT) as server:
        server.faults = [None] * 40 + [status(500)] * CALLS  # type: ignore[list-item]
        assert run(command(server)) == 3
        assert "no answer in 7 tries, the last time: its own error (HTTP 500); " in one_line(capsys)
        assert len(server.asked) == 40 and 0 < Path("out.jsonl").stat().st_size < len(wanted)
        server.faults.clear()
        assert run(command(server)) == 0
        assert_whole(server, wanted)


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "most"), [("--max-calls", 40), ("--max-tokens", 40 * TOKENS)])
def test_a_spent_budget_is_gone_on_with(
    flag: str, most: int, wanted: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breaks seen to fail: `max_tokens` or `concurrency` not handed on to the endpoint."""
    with serving(answer=answer, paths=CHAT, seconds=0.005) as server:
        for calls in (40, 80):
            assert run([*command(server), flag, str(most), "--concurrency", "1"]) == 3
            assert f"the budget of {most} {flag.removeprefix('--max-')} is spent" in one_line(capsys)
            assert server.calls == len(server.asked) == calls
        assert run([*command(server), flag, str(most), "--concurrency", "1"]) == 0
        assert server.most_at_once == 1
        assert_whole(server, wanted)


@pytest.mark.parametrize("chat", [True, False])
def test_an_endpoint_that_fails_half_way_is_paid_for_once(chat: bool) -> None:
    """Faults that pass are waited out, and the same call goes on: each prompt is answered once."""
    out = Path("out.jsonl")
    with serving(answer=answer, paths=CHAT if chat else TEXT) as server:
        ask = {"model": "m", "base_url": server.url, "out": out}
        server.faults += [status(429), status(500), broken_json]
        fewfit.augment("data.jsonl", **ask, on_block=stop_after(2, server))  # type: ignore[operator]
        if out.read_bytes().count(b"\n") < len(LINES):
            server.faults.clear()
            fewfit.augment("data.jsonl", **ask)  # type: ignore[operator]
        bodies = [json.dumps(body, sort_keys=True) for body in server.asked]
        assert len(set(bodies)) == len(bodies) and len(bodies) >= 2 * len(LINES)
        before = len(server.asked)
        again = fewfit.augment("data.jsonl", **ask)  # type: ignore[operator]
        assert len(server.asked) == before and len(again.rows) == out.read_bytes().count(b"\n") >= len(LINES)
        server.faults += [status(401)] * 50
        with pytest.raises(FewfitError):
            other = {**ask, "out": "other.jsonl"}
            fewfit.augment("data.jsonl", **other, per=3, max_new_tokens=50)  # type: ignore[operator]


def stop_after(blocks: int, server: Any) -> Any:
    """More faults in the middle, which pass as well."""

    def told(done: int, of: int, account: Any) -> None:
        if done == blocks * BLOCK:
            server.faults += [cut, cut]

    return told


# ---- what it says of itself, and what is told of that ----------------------------------------------------------------

FEW = [{"id": str(n), "text": f"Glon{n} are brighter than femp{n}."} for n in range(3)]


def is_check(body: dict[str, Any]) -> bool:
    return body["messages"][-1]["content"].endswith("True:")


def answering(text: str | None, checked: str | None = None, finish: str = "stop", **more: Any) -> Any:
    """Always the same, and to a check something else."""

    def rule(path: str, body: dict[str, Any]) -> dict[str, Any]:
        content = checked if is_check(body) else text
        if content is not None and body["max_tokens"] == 4:
            content, end = content[:12], "length"
        else:
            end = finish
        return {"choices": [{"index": 0, "finish_reason": end, "message": {"content": content}}], **more}

    return rule


def test_what_a_check_writes_is_counted() -> None:
    """Break seen to fail: the tokens of its answers left out."""

    def rule(path: str, body: dict[str, Any]) -> dict[str, Any]:
        said = answer(path, body)
        if is_check(body):
            said["choices"][0]["message"]["content"] = "yes"
        return said

    with serving(answer=rule, paths=CHAT) as server:
        account = fewfit.augment(FEW, "m", base_url=server.url, check=True).accounts["local"]  # type: ignore[operator]
        checks = sum(map(is_check, server.asked))
        assert checks == account.kept > 0
        assert account.new_tokens == account.prompt_tokens == 9 * (len(server.asked) - 1)


@pytest.mark.parametrize(("thought", "kept"), [("It says so.</think>\n\nYes.", 1), ("Not at all.</think>no", 0)])
def test_one_that_thinks_aloud_is_asked_what_it_comes_to(thought: str, kept: int) -> None:
    """Break seen to fail: everything denied, of four tokens of thought."""
    with serving(answer=answering("Light comes of glon.", f"<think>{thought}"), paths=CHAT) as server:
        made = fewfit.augment(FEW[:1], "m", base_url=server.url, check=True)  # type: ignore[operator]
        assert len(made.rows) == kept and made.accounts["local"].dropped["denied"] == 1 - kept
        assert [body["max_tokens"] for body in server.asked if is_check(body)] == [4, 1024]


def test_what_was_kept_before_is_not_checked_again() -> None:
    """Break seen to fail: every duplicate paid for, and dropped then."""
    with serving(answer=answering("Light comes of glon.", "yes"), paths=CHAT) as server:
        made = fewfit.augment("data.jsonl", "m", base_url=server.url, check=True)  # type: ignore[operator]
        assert len(made.rows) == 1 and sum(map(is_check, server.asked)) == BLOCK
        # Of each sentence's two the second is one as well.
        assert made.accounts["local"].dropped == {"duplicate": 2 * len(LINES) - 1}


@pytest.mark.parametrize("nothing", [None, "", "\n", "<think>So long"])
def test_empty_answers_are_counted(nothing: str | None) -> None:
    """Break seen to fail: none kept, and none dropped."""
    with serving(answer=answering(nothing, finish="length"), paths=CHAT) as server:
        account = fewfit.augment(FEW, "m", base_url=server.url).accounts["local"]  # type: ignore[operator]
        assert account.kept == 0 and account.dropped == {"empty answer": 2 * len(FEW)}


def test_tokens_that_nobody_counted_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks seen to fail: what was reckoned by the letters shown as a count, and no tokens where none were told."""
    usage = {"prompt_tokens": 9, "completion_tokens": 7}
    for more, told in (({}, False), ({"usage": usage}, True)):
        with serving(answer=answering("Light comes of glon.", **more), paths=CHAT) as server:
            assert run([*command(server), "--out", f"{told}.jsonl"]) == 0
            shown = capsys.readouterr().out
            assert (shown.count("not told") == 2) is not told and f"{len(LINES)} rows of about " in shown
            assert run([*command(server), "--out", f"{told}.jsonl", "--json"]) == 0
            said = json.loads(capsys.readouterr().out)
            assert said["strategies"]["local"]["tokens_told"] is told
            assert said["before"]["reckoned"] is said["after"]["reckoned"] is True


def test_where_no_prompt_fits_fewer_tokens_are_advised(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: more of them."""
    with serving(answer=answer, paths=CHAT) as server:
        assert run([*command(server), "--max-new-tokens", "15999"]) == 0
        shown = capsys.readouterr()
        assert "a larger model, fewer --max-new-tokens" in shown.err and "not told" not in shown.out
        assert len(server.asked) == 1, "to find out what it can do"


def test_that_nobody_answers_is_told_before_it_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks seen to fail: half a minute of silence; a line for each try; a line where --quiet is given."""
    with serving() as server:
        nobody = command(server)
    assert run([part for part in nobody if part != "--quiet"]) == 3
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{nobody[5]}: the connection failed (")
    assert first.endswith("refused); trying again, 6 times at the most") and "no answer in 7 tries" in last
    assert run(nobody) == 3
    assert "no answer in 7 tries" in one_line(capsys)
    told: list[str] = []
    with pytest.raises(FewfitError):
        served.load("m", nobody[5], tell=told.append)
    assert told == [first]
