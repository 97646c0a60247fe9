"""What every metric keeps to, whether it judges at once, later, or in pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fewfit
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.metrics import METRICS, Answer, Metric, deferred, metric, pairwise
from fewfit.predictions import read
from tests.models_made import tiny
from tests.streams_made import examples
from tests.tokenizers_made import byte_level

NAMES = ["match", *METRICS, "regex:{answer}"]
ANSWERS = ['{"a": 1}', "42", '"New York City"', "[1, 2, 3]"]  # JSON all of them, since one metric asks for it
OTHERS = ["", "no", "42", "New  York City\n", '{"a": 2}', "x" * 500, "ünïcode ✓", "a (b) [c"]


def share(answers: Any) -> list[float]:
    """Of the letters that a longest answer has: it needs to see all."""
    longest = max(len(one.prediction) for one in answers) or 1
    return [len(one.prediction) / longest for one in answers]


def longer(mine: str, other: str, example: Example) -> float:
    return 0.5 if len(mine) == len(other) else float(len(mine) > len(other))


ALL: list[Metric] = [metric(name) for name in NAMES] + [deferred(share), pairwise(longer)]


def ids(one: Metric) -> str:
    return one.name


@pytest.mark.parametrize("judge", ALL, ids=ids)
def test_scores_lie_between_0_and_1_and_repeat(judge: Metric) -> None:
    answers = [
        Answer(lane, 0, Example(f"{k}-{n}", "ask", answer), text)
        for k, answer in enumerate(ANSWERS)
        for n, text in enumerate([answer, *OTHERS])
        for lane in ("zero-shot", "icl-4")
    ]
    found = judge.scores(answers)
    assert len(found) == len(answers) and all(0.0 <= score <= 1.0 for score in found)
    assert found == judge.scores(answers)


@pytest.mark.parametrize("judge", [one for one in ALL if not one.is_deferred], ids=ids)
@pytest.mark.parametrize("answer", ANSWERS)
def test_the_right_answer_scores_one_and_an_answer_counts_by_itself(judge: Metric, answer: str) -> None:
    example = Example("7", "ask", answer)
    assert judge.score(answer, example) == 1.0
    assert judge.scores([Answer("a", 0, example, answer), Answer("b", 1, example, "no")]) == [
        1.0,
        judge.score("no", example),
    ]


@pytest.mark.parametrize("judge", [deferred(share), pairwise(longer)], ids=ids)
def test_a_run_is_judged_when_all_answers_are_there(judge: Metric, tmp_path, monkeypatch) -> None:
    """Breaks seen to fail: rows left without a score; lanes raced by scores that nobody has yet."""
    monkeypatch.chdir(tmp_path)
    model = tiny("llama", vocab_size=len(byte_level()))
    rows = [(one.prompt, one.completion) for one in examples(12)]
    lanes = [Lane(), Lane(shots=2), Lane(lr=1e-3, updates=1)]
    run = fewfit.fit(
        rows, model, tokenizer=byte_level(), grid=lanes, metric=judge, choices="none", out="run", test=rows[:3]
    )
    found = read("run")
    answers = [Answer(row["lane"], 0, Example(row["id"], "", ""), row["prediction"]) for row in found]
    assert [row["score"] for row in found] == judge.scores(answers)
    assert all(row["correct"] == (row["score"] >= 1.0) for row in found)
    assert {lane["status"] for lane in run.lanes} == {"done"}
    assert not json.loads(Path("run/run.json").read_text())["race"]
    assert len(run.result["test"]) == 3 and all(0.0 <= row["score"] <= 1.0 for row in run.result["test"])
    with pytest.raises(UserError, match="compares with zero-shot"):
        fewfit.fit(rows, model, tokenizer=byte_level(), grid=lanes[1:], metric=pairwise(longer), choices="none")
