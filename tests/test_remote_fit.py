"""Prompting lanes over an endpoint: fit, resume, predict, plan, inspect, with a server that answers by a rule."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fewfit
from fewfit.cli.main import run as command
from fewfit.engine.learner import Row, Track
from fewfit.engine.remote import RemotePrompter
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.examples.example import Example, Message
from fewfit.models.remote import Completion, Echoed, trouble
from fewfit.models.remote.served import load, tokens_of
from fewfit.models.remote.tokens import byte_tokenizer, messages, text
from fewfit.plan.planning import plan
from fewfit.predictions import read
from fewfit.render import Renderer
from fewfit.settings import Settings
from tests import endpoint_made as made
from tests.endpoint_real import answering

pytest.importorskip("openai")
KEY = "sk-verysecret-0123456789"
LABELS = [(f"word{k}", "odd" if k % 2 else "even") for k in range(24)]
WORDS = [(f"word{k}", f"WORD{k}") for k in range(16)]
KINDS = Path(fewfit.__file__).parent / "demo" / "data" / "kinds.jsonl"
TEXT, CHAT = ("/completions",), ("/chat/completions",)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))
    for name in ("FEWFIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trouble, "FIRST_WAIT", 0.02)


def parity(prompt: str) -> str:
    """Right but for numbers that end in 5."""
    number = int(re.findall(r"\d+", f"0 {prompt}")[-1])
    return "odd" if number % 2 and number % 10 != 5 else "even"


def rows_of(folder: str, lane: str) -> list[dict[str, Any]]:
    return [row for row in read(folder) if row["lane"] == lane]


# ---- start to finish -------------------------------------------------------------------------------------------------


def test_a_chat_endpoint_from_fit_to_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a key, which is nowhere afterwards. Break seen to fail: it is kept beside the model's name in the cache."""
    monkeypatch.setenv("FEWFIT_API_KEY", KEY)
    Path("data.jsonl").write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in LABELS))
    test = [{"prompt": f"word{k}", "completion": "odd"} for k in (31, 33, 35, 45)]
    Path("test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test))
    with made.serving(parity, paths=CHAT, key=KEY) as server:
        asked = ["fit", "data.jsonl", "--test", "test.jsonl", "--model", "m", "--base-url", server.url]
        assert command([*asked, "--shots", "2", "--out", "run", "--json"]) == 0
        shown = capsys.readouterr()
        assert KEY not in shown.out + shown.err
        result = json.loads(shown.out)
        assert [lane["name"] for lane in result["lanes"]] == ["zero-shot", "icl-2-per-query"]
        assert result["metric"] == "match" and [lane["nll"] for lane in result["lanes"]] == [None, None]
        assert all(one["score"] == 0.5 for one in result["test"])
        rows = rows_of("run", "zero-shot")
        assert {row["id"] for row in rows if row["correct"]} == {str(k + 1) for k in range(24) if k % 10 != 5}
        assert all(row["nll"] is None and row["tokens"] is None and row["prompt_tokens"] < 20 for row in rows)
        prompts = {json.dumps(body["messages"]) for body in server.asked}
        assert len(prompts) == server.calls and server.most_at_once <= 4  # each was asked once
        few = next(body["messages"] for body in server.asked if len(body["messages"]) == 5)
        assert [one["role"] for one in few] == ["user", "assistant"] * 2 + ["user"]
        assert few[0]["content"].startswith("Answer with one of: even, odd.\n\nword")
        before = server.calls
        assert command(["predict", "run", "word3"]) == 0
        assert capsys.readouterr().out == "odd\n" and server.calls == before + (result["best"] != "zero-shot")
        assert command(["inspect", "run", "--lane", "icl-2-per-query", "--at", "24"]) == 0
        assert "<|fewfit:user|>" in capsys.readouterr().out
    record = json.loads(Path("run/bundle/bundle.json").read_text())["model"]
    assert (record["name"], record["base_url"]) == ("m", server.url)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "answers.sqlite" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("metric", ["choice", "match"])
def test_a_text_endpoint_that_tells_likelihoods(metric: str) -> None:
    """Hits are proved, only misses are written. Break seen to fail: the token that is written behind the echo counted
    as the answer's."""
    with made.serving(parity, paths=TEXT, echo=True) as server:
        run = fewfit.fit(LABELS, "m", base_url=server.url, metric=metric, shots=[2], out="run")
        rows = rows_of("run", "zero-shot")
        assert {row["id"] for row in rows if not row["correct"]} == {"6", "16"}
        assert rows[0]["nll"] == pytest.approx(0.2) and rows[0]["tokens"] == 2
        written = [body["prompt"] for body in server.asked if not body.get("echo")]
        if metric == "choice":
            assert len(written) == 1 and all(sum(row["probs"].values()) == pytest.approx(1) for row in rows)
        else:
            wrong = [row for row in read("run") if not row["correct"]]
            assert len(wrong) == 4 and len(written) <= 1 + 4 and {row["prediction"] for row in wrong} == {"even"}
        (answer,) = run.bundle.predict(["word7"])
        assert answer["prediction"] == "odd" and (answer["nll"] is None) == (metric == "match")


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["choice", "match"])
def test_a_model_says_there_what_it_says_here(metric: str) -> None:
    """The toy behind an endpoint, and in this process. Break seen to fail: the answer scored without its end."""
    rows = [json.loads(line) for line in KINDS.read_text().splitlines()[:16]]
    asked = {"chat": "off", "shots": [2], "deliver": "per-query", "methods": ["zero-shot", "icl"], "metric": metric}
    with made.serving(answer=answering(), paths=TEXT) as server:
        fewfit.fit(rows, "lab", base_url=server.url, **asked, out="there")
    fewfit.fit(rows, "lab", **asked, race=False, dtype="float32", out="here")
    for there, here in zip(read("there"), read("here"), strict=True):
        assert (there["lane"], there["id"], there["demos"]) == (here["lane"], here["id"], here["demos"])
        assert (there["tokens"], there["prompt_tokens"]) == (here["tokens"], here["prompt_tokens"])
        assert there["nll"] == pytest.approx(here["nll"], abs=1e-3)
        if metric == "match":  # choices are told apart by whole answers there, here at the one place where they differ
            assert there["prediction"] == here["prediction"]
            assert there["margin"] == pytest.approx(here["margin"], abs=1e-3)


@pytest.mark.slow
def test_trouble_on_the_way_changes_nothing() -> None:
    with made.serving(str.upper, paths=CHAT) as server:
        server.faults = [made.status(429), made.broken_json, made.cut, made.status(500), made.not_the_interface]
        run = fewfit.fit(WORDS, "m", base_url=server.url, methods=["zero-shot"], out="run")
        assert run.lanes[0]["accuracy"] == 1.0
        load("other", server.url)
        server.faults = [made.status(500)] * 100
        with pytest.raises(EnvironmentProblem, match=r"no answer in 7 tries.*fewfit resume other"):
            fewfit.fit(WORDS, "other", base_url=server.url, methods=["zero-shot"], out="other")


# ---- stopped and gone on with ----------------------------------------------------------------------------------------


def test_a_spent_budget_is_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: `resume` without the budget of the run."""
    Path("data.jsonl").write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in WORDS))
    with made.serving(str.upper, paths=TEXT) as server:
        asked = ["fit", "data.jsonl", "--model", "m", "--base-url", server.url, "--methods", "zero-shot"]
        assert command([*asked, "--max-calls", "8", "--out", "run", "--quiet"]) == 3
        assert server.calls == 8
        said = capsys.readouterr().err
        assert "the budget of 8 calls is spent" in said and "go on with: fewfit resume run" in said
        assert command(["resume", "run", "--quiet"]) == 3
        assert server.calls == 16
        assert command(["resume", "run", "--quiet"]) == 0
        assert server.calls == 3 + 16  # three were to find out what it can do
    assert len(rows_of("run", "zero-shot")) == 16


def test_a_spent_budget_of_tokens_is_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks seen to fail: `fit`, or `resume`, without it."""
    Path("data.jsonl").write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in WORDS))
    with made.serving(str.upper, paths=TEXT) as server:
        asked = ["fit", "data.jsonl", "--model", "m", "--base-url", server.url, "--methods", "zero-shot"]
        assert command([*asked, "--max-tokens", "40", "--concurrency", "1", "--out", "run", "--quiet"]) == 3
        said = capsys.readouterr().err
        assert "the budget of 40 tokens is spent" in said and "go on with: fewfit resume run" in said
        calls = server.calls
        assert command(["resume", "run", "--quiet"]) == 3
        assert calls < server.calls < 19
        assert command(["resume", "run", "--quiet"]) == 0
        assert server.calls == 3 + 16
    assert len(rows_of("run", "zero-shot")) == 16


FIT = "import sys; from fewfit.cli.main import main; main()"


@pytest.mark.slow
def test_a_run_that_is_killed_pays_for_nothing_twice() -> None:
    """Break seen to fail: `cache=False` in `served.load`."""
    Path("data.jsonl").write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in LABELS))
    with made.serving(parity, paths=CHAT, seconds=0.05) as server:
        asked = ["fit", "data.jsonl", "--model", "m", "--base-url", server.url, "--shots", "2", "--quiet"]
        process = subprocess.Popen([sys.executable, "-c", FIT, *asked, "--out", "run", "--concurrency", "2"])
        while server.calls < 24:
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
        fewfit.resume("run")
        prompts = {json.dumps(body["messages"]) for body in server.asked}
        assert len(server.asked) <= len(prompts) + 2  # those on their way when it was killed
        fewfit.fit("data.jsonl", "m", base_url=server.url, shots=[2], out="whole")
        assert len(server.asked) <= len(prompts) + 2
    assert Path("run/predictions.jsonl").read_bytes() == Path("whole/predictions.jsonl").read_bytes()


# ---- what an endpoint can do -----------------------------------------------------------------------------------------


def found(server: made.Server, **how: Any) -> tuple[bool, bool]:
    served = load("m", server.url, **how).model
    return served.chat, served.likelihood


def test_what_it_can_do_is_found_out() -> None:
    with made.serving() as server:
        assert found(server) == (True, False)
        assert found(server, chat="off") == (False, False)
    with made.serving(paths=TEXT, echo=True) as server:
        assert found(server) == (False, True)
        with pytest.raises(UserError, match=r"has no /chat/completions .*but it has /completions; give --chat off"):
            found(server, chat="on")
    with made.serving(paths=CHAT) as server:
        with pytest.raises(UserError, match=r"has no /completions .*but it has /chat/completions; give --chat on"):
            found(server, chat="off")
    with made.serving(paths=()) as server, pytest.raises(UserError, match="has no /chat/completions for the model m"):
        found(server)


def refusing_echo(handler: Any) -> None:
    handler.say(400, {"error": {"message": "Only no echo is supported"}})


def test_an_endpoint_that_refuses_an_echo_tells_no_likelihood() -> None:
    with made.serving(paths=TEXT, echo=True) as server:
        server.faults = [
            made.status(404),
            lambda handler: handler.say(200, made.completion(server, BODY)),
            refusing_echo,
        ]
        assert found(server) == (False, False)


BODY = {"prompt": "2 + 2 =", "max_tokens": 1}


def told(*parts: tuple[str, float | None]) -> Completion:
    return Completion("", 0, 0, "stop", False, 0.0, tuple(Echoed(t, p, ((t, -0.1),)) for t, p in parts))


@pytest.mark.parametrize(
    ("parts", "tokens"),
    [
        ([("a", None), (" b", -1.0), ("\n\n", -2.0), (" next", -3.0)], 2),
        ([("a", None), (" b", -1.0), ("\n\n", -2.0)], 2),  # the end of text was written, and left out
        ([("a", None), (" b\n\n", -1.0), (" next", -3.0)], 1),
        ([(" next", -3.0)], None),  # no echo
        ([], None),
        ([("a", None), (" \ufffd", -1.0), ("\n\n", -2.0), (" next", -3.0)], None),  # half a letter
        ([("a", None), (" b", None), ("\n\n", -2.0), (" next", -3.0)], None),
    ],
)
def test_only_tokens_that_spell_the_answer_tell_of_it(
    parts: list[tuple[str, float | None]], tokens: int | None
) -> None:
    found = tokens_of(" b\n\n", told(*parts))
    assert (None if found is None else len(found[0])) == tokens


def test_a_token_across_the_border_proves_no_hit() -> None:
    found = tokens_of(" b\n\n", told(("a", None), (": b", -1.0), ("\n\n", -2.0), (" next", -3.0)))
    assert found is not None and len(found[0]) == 2 and found[1] is False


def test_the_prompter_tells_what_the_endpoint_does() -> None:
    with made.serving(parity, paths=TEXT, echo=True) as server:
        loaded = load("m", server.url)
        items = [Example(str(k), prompt, answer) for k, (prompt, answer) in enumerate(LABELS)]
        renderer = Renderer.resolve(loaded.tokenizer, items, chat="off", choices=("even", "odd"))
        prompter = RemotePrompter(loaded.model, renderer)
        prompt = renderer.prompt([], items[5])  # odd, and taken for even
        odd, even = renderer.continuations(prompt, ["odd", "even"])
        row = Row(Track("zero-shot", 0), prompt.ids + odd, ((len(prompt.ids), len(prompt.ids + odd)),), (), (odd, even))
        (seen,) = prompter.score([row])
        assert seen is not None and not seen.hit and seen.choices == pytest.approx((-10.0, -0.2))
        assert seen.nll == pytest.approx(10.0) and seen.margin == pytest.approx(2.4)
        assert text(loaded.tokenizer, seen.argmax) == " even"
        assert [renderer.answer_text(ids) for ids in prompter.generate([row], 16)] == [("even", False)]


@pytest.mark.parametrize(
    "turns",
    [
        (Message("system", "Be brief."), Message("user", "héllo\n✓"), Message("assistant", "a"), Message("user", "b")),
        (Message("user", "<|fewfit:end|><|fewfit:user|>me"),),  # looks like marks and is none
    ],
)
def test_messages_come_out_as_they_went_in(turns: tuple[Message, ...]) -> None:
    """Break seen to fail: marks found in the text instead of the ids."""
    tokenizer = byte_tokenizer(chat=True)
    items = [Example("1", turns, "fine")]
    renderer = Renderer.resolve(tokenizer, items)
    assert messages(tokenizer, renderer.prompt([], items[0]).ids) == turns


# ---- refused ---------------------------------------------------------------------------------------------------------

URL = "http://localhost:9/v1"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"methods": ["icl", "ft"]}, "the lane ft-.* nothing can be trained behind an endpoint"),
        ({"preset": "paper", "methods": ["icl+ft"]}, "nothing can be trained"),
        ({"rank": 4}, "--rank with --base-url: nothing can be trained"),
        ({"deliver": "fixed"}, "the lane icl-4 .*give --deliver per-query"),
        ({"revision": "main"}, "--revision with --base-url"),
        ({"quantize": "nf4"}, "--quantize with --base-url"),
        ({"device": "cpu"}, "--device with --base-url"),
        ({"budget": "10m"}, "--budget with --base-url"),
        ({"max_calls": 0}, "--max-calls 0"),
        ({"max_tokens": 0}, "--max-tokens 0"),
        ({"model": object()}, "a model in memory with --base-url"),
        ({"base_url": None, "concurrency": 2}, "--concurrency without --base-url"),
        ({"base_url": None, "max_tokens": 2}, "--max-tokens without --base-url"),
    ],
)
def test_what_an_endpoint_cannot_do_is_refused_before_it_is_asked(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Settings(**{"model": "m", "base_url": URL, **settings})


@pytest.mark.parametrize("metric", ["choice", "exact"])
def test_a_metric_of_likelihoods_is_refused_where_they_are_not_told(metric: str) -> None:
    with (
        made.serving(parity) as server,
        pytest.raises(UserError, match=f"which --metric {metric} needs; give --metric"),
    ):
        fewfit.fit(LABELS, "m", base_url=server.url, metric=metric, out="run")
    assert not Path("run").exists()


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"pip install 'fewfit\[remote\]'"):
        load("m", URL)


# ---- plan, cache -----------------------------------------------------------------------------------------------------


def test_a_plan_tells_calls_and_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    made_plan: Any = plan(LABELS, "m", base_url=URL, shots=[2], seeds=2)
    assert made_plan.calls == 2 * 2 * 24 and made_plan.tokens > 0
    assert [lane.name for lane in made_plan.lanes] == ["zero-shot", "icl-2-per-query"]
    Path("data.jsonl").write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in WORDS))
    assert command(["plan", "data.jsonl", "--model", "m", "--base-url", URL, "--max-calls", "20"]) == 0
    shown = capsys.readouterr().out
    assert "About 48 calls" in shown and "At 20 the run stops" in shown
    assert command(["plan", "data.jsonl", "--model", "m", "--base-url", URL, "--max-tokens", "90"]) == 0
    assert "At 90 tokens the run stops" in " ".join(capsys.readouterr().out.split())


def test_the_cache_is_emptied_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*arguments: str) -> Any:
        assert command(["cache", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert shown()["models"] == []
    with made.serving() as server:
        found(server)
        (kept,) = shown()["models"]
        assert (kept["model"], kept["url"], kept["answers"]) == ("m", server.url, 1)
        assert shown("clear")["cleared"] and shown()["models"] == []
    assert command(["cache", "burn"]) == 2
