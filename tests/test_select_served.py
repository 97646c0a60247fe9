"""`select-demos` with the model behind an endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewfit.cli.main import run as command
from fewfit.errors import UserError
from fewfit.search.selecting import select_demos
from tests import endpoint_made as made
from tests.endpoint_real import answering
from tests.test_search_instructions import ASKED, POOL, write

pytest.importorskip("openai")

WORDS = ["mill", "river", "stone", "bread", "cloud", "apple", "horse", "table", "green", "seven", "paper", "glass"]
ROWS = [{"id": str(n), "prompt": word, "completion": word.upper()} for n, word in enumerate(WORDS)]
LABELS = [{**row, "completion": "even" if n % 2 else "odd"} for n, row in enumerate(ROWS)]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))


def taught_by(word: str) -> Any:
    """Knows what is wanted where one demonstration stands in the prompt."""

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        *before, last = (one["content"] for one in body["messages"])
        text = last.upper() if any(word in turn for turn in before) else "No, I will not."
        return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], "usage": {}}

    return answer


def select(rows: Any, url: str, name: str = "m", **more: Any) -> Any:
    return select_demos(rows, name, k=1, strategy=more.pop("strategy", "greedy"), load={"base_url": url}, **more)


def test_what_teaches_the_model_is_found_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    """Break seen to fail: the model's name left out of what scores hang on."""
    asked = {"questions": ROWS[4:], "out": tmp_path / "out"}
    with made.serving(answer=taught_by("stone")) as server:
        found = select(ROWS[:4], server.url, **asked)
        assert [one.prompt for one in found.demonstrations] == ["stone"] and found.judge == "match"
        assert found.found.worth.means["searched"].score == 1.0 > found.found.worth.means["the start"].score
        calls = server.calls
        assert select(ROWS[:4], server.url, **asked).demonstrations == found.demonstrations
        assert server.calls <= calls + 1  # which asks whether it is there
        with pytest.raises(UserError, match="another model"):
            select(ROWS[:4], server.url, name="other", **asked)


def test_labels_are_written_where_no_likelihood_is_told() -> None:
    """As fit does; what wants a likelihood is refused. Break seen to fail: no notice."""
    with made.serving(answer=taught_by("stone")) as server:
        found = select(LABELS[:4], server.url, questions=LABELS[4:])
        assert found.judge == "match" and "tells no likelihood" in " ".join(found.notices)
        for more in ({"judge": "choice"}, {"strategy": "screen"}):
            with pytest.raises(UserError, match="tells no likelihood"):
                select(LABELS[:4], server.url, questions=LABELS[4:], **more)
        with pytest.raises(UserError, match="--device with --base-url"):
            select_demos(LABELS, "m", load={"base_url": server.url, "device": "cpu"})
    with pytest.raises(UserError, match="--max-calls without --base-url"):
        select_demos(LABELS, "lab", load={"max_calls": 3})


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["choice", "match"])
def test_a_model_is_searched_there_as_it_is_here(judge: str) -> None:
    """The toy behind an endpoint that tells likelihoods, behind the screen too. Break seen to fail: the sign of log p
    turned."""
    asked = {"judge": judge, "questions": LABELS[4:], "render": {"chat": "off"}, "k": 2, "strategy": "screen"}
    with made.serving(answer=answering(), paths=("/completions",)) as server:
        there = select_demos(LABELS[:4], "lab", load={"base_url": server.url}, **asked)
    here = select_demos(LABELS[:4], "lab", load={"dtype": "float32", "device": "cpu"}, **asked)
    assert there.demonstrations == here.demonstrations and there.found.worth.means == here.found.worth.means


def test_conversations_are_searched_by_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the endpoint has no penalty of repeated words it is told, and 1 is none."""
    line = ["select-demos", write(tmp_path / "pool.jsonl", POOL[:3]), "--model", "m", "--judge", "rules", "--k", "1"]
    loud = [{**row, "instruction_id_list": ["change_case:english_capital"]} for row in ASKED]
    line += ["--questions", write(tmp_path / "asked.jsonl", loud), "--strategy", "greedy", "--json", "-q"]
    with made.serving(answer=taught_by("river 1")) as server:
        line += ["--base-url", server.url, "--out", str(tmp_path / "out")]
        assert command(line) == 2 and "repetition penalty" in capsys.readouterr().out
        assert command([*line, "--repetition-penalty", "1", "--max-calls", "500"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["prompt"] for one in told["demonstrations"]] == ["Tell me of river 1."]
    assert told["held_out"]["scores"]["searched"]["score"] == 1.0
