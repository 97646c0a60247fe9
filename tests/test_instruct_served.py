"""`suite instruct` with the model and the judge behind an endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewfit.cli.main import run as command
from tests import endpoint_made as made
from tests.judges_made import graded

pytest.importorskip("openai")

TURNS = ["And now of rivers."]
QUESTIONS = [{"question_id": n, "category": "writing", "turns": [f"Write of mills, {n}.", *TURNS]} for n in range(4)]


def says(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The judge rates by hash and prefers by it; the model says how many turns it was told."""
    said = body["messages"][-1]["content"]
    if body["model"] == "judge":
        text = "[[A]]" if "[[A]] if" in said else graded(said)
    else:
        text = f"answer after {len(body['messages'])} turns"
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}}


def test_both_served_judged_by_turn_and_nothing_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Grades and win rates over `base`; the conversation so far is carried on; tuned conditions are left out, and said.

    Break seen to fail: the history left out of the second turn's prompt.
    """
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data" / "mt_bench"
    folder.mkdir(parents=True)
    (folder / "question.jsonl").write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS))
    with made.serving(answer=says) as server:
        line = ["suite", "instruct", "--model", "m", "--base-url", server.url, "--judge-model", "judge"]
        line += ["--judge-url", server.url, "--questions", "mt-bench", "--data", str(tmp_path / "data")]
        line += ["--conditions", "base,urial,ft-3", "--repetition-penalty", "1", "--out", str(tmp_path / "out")]
        line += ["--number", "4", "--json"]
        assert command(line) == 0
        first = json.loads(capsys.readouterr().out)
        asked = len(server.asked)
        assert command(line) == 0
        assert json.loads(capsys.readouterr().out)["rows"] == first["rows"]
        assert len(server.asked) == asked
        told = [body["messages"] for body in server.asked if body["model"] == "m"]
    assert [one["condition"] for one in first["left_out"]] == ["ft-3"]
    by_judge = {(row["condition"], row["turn"], row["judge"].split(":")[0]): row for row in first["rows"]}
    assert len(by_judge) == len(first["rows"]) == 2 * 2 + 2
    # A judge that always prefers what stands first prefers nothing.
    assert by_judge["urial", 1, "win-rate"]["score"] == 0.5 and by_judge["urial", 1, "win-rate"]["turned"]["value"] == 1
    bare = sorted(len(one) for one in told)
    assert bare[:8] == [1] * 4 + [3] * 4, "a query, and with what was said before"
