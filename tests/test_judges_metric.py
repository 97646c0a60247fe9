"""A judge as the metric of a run."""

from __future__ import annotations

import pytest

import fewfit
from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.grid import Lane
from fewfit.judges import Answered, Check, Question
from fewfit.judges.metric import as_metric
from fewfit.judges.rules import RulesJudge, split
from fewfit.metrics import Answer
from fewfit.predictions import read
from tests.models_made import tiny
from tests.streams_made import examples
from tests.tokenizers_made import byte_level

CHECKS = (Check("punctuation:no_comma"), Check("keywords:letter_frequency",
          {"letter": "e", "let_frequency": 1, "let_relation": "less than"}))  # fmt: skip


def test_a_run_is_scored_by_a_judge(tmp_path, monkeypatch) -> None:
    """Break seen to fail: every answer put to the first question."""
    monkeypatch.chdir(tmp_path)
    rows = [(one.prompt, one.completion) for one in examples(8)]
    questions = [Question(str(k), (prompt,), checks=(CHECKS[: 1 + k % 2],)) for k, (prompt, _) in enumerate(rows)]
    run = fewfit.fit(
        rows, tiny("llama", vocab_size=len(byte_level())), tokenizer=byte_level(), grid=[Lane(), Lane(shots=2)],
        metric=as_metric(RulesJudge(), questions), choices="none", out="run",
    )  # fmt: skip
    found = read("run")
    assert {lane["status"] for lane in run.lanes} == {"done"} and run.result["metric"] == "own:deferred(rules)"
    for row in found:
        question = questions[int(row["id"]) - 1]
        verdict = RulesJudge().judge([Answered(question, (row["prediction"],))])[0][0]
        assert row["score"] == verdict.score
    assert len({row["score"] for row in found}) > 1, "scores that are all alike show nothing"


def test_questions_are_found_by_the_examples_prompts() -> None:
    question = Question("1", ("Tell me of mills.",), checks=(CHECKS[:1],))
    metric = as_metric(RulesJudge(), [question])
    for prompt in ("Tell me of mills. ", (Message("system", "Be kind."), Message("user", "Tell me of mills."))):
        answers = [Answer("a", 0, Example("1", prompt, "x"), text) for text in ("a, b", "ab", "")]
        assert metric.scores(answers) == [0.0, 1.0, 0.0]
    with pytest.raises(UserError, match=r"example 9: no question of this prompt"):
        metric.scores([Answer("a", 0, Example("9", "Else.", "x"), "ab")])
    with pytest.raises(UserError, match="question 1: 2 turns"):
        as_metric(RulesJudge(), [split(question)])


def test_an_answer_that_cannot_be_judged_counts_as_nothing() -> None:
    metric = as_metric(RulesJudge(), [Question("1", ("Tell me.",), checks=((),))])
    with pytest.warns(UserWarning, match="rules: 1 of 1 answers have no verdict, and count as 0"):
        assert metric.scores([Answer("a", 0, Example("1", "Tell me.", "x"), "ab")]) == [0.0]
