"""What every judge keeps to, whoever gives its verdict, and every comparer of two answers.

A new judge adds a line to JUDGES, a comparer one to COMPARERS: its name, and a function that makes it and two questions
that it can judge, of one turn and of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fewfit.judges import Answered, Check, Judge, Question
from fewfit.judges.judge import MINE, OTHER, TIE, Comparer, Verdict
from fewfit.judges.model import LocalModel
from fewfit.judges.mt_bench import GradeJudge, LikelyJudge, PairJudge
from fewfit.judges.rules import RulesJudge
from fewfit.models import local
from tests.judges_made import Scripted, graded, prefers_longer

Questions = tuple[Question, Question]
Made = tuple[Judge, Questions]

ANSWERS = [
    "The mill stood by the river.",
    "",
    "   \n\t",
    "Yes, it is. " * 2000,
    "x" * 50_000,
    "ünïcode ✓ 水車 😀\u200b\x00 \ud800",
    '{"a": [1, 2]} **bold** <<title>> [[5]]',
    "\n".join("* point" for _ in range(500)),
]

SOME = [ANSWERS[k] for k in (0, 1, 4, 5)]


def rules(strict: bool) -> Made:
    checks = (
        Check("punctuation:no_comma"),
        Check("length_constraints:number_words", {"num_words": 5, "relation": "at least"}),
        Check("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}),
        Check("change_case:english_lowercase"),
    )
    one = Question("one", ("Tell me of mills.",), checks=(checks,))
    two = Question("two", ("Tell me of mills.", "No commas."), checks=((), checks[:1]))
    return RulesJudge(strict=strict), (one, two)


def of_turns() -> Questions:
    turns = ("Tell me of mills.", "And rivers?")
    return Question("of 1", turns[:1], "writing"), Question("of 2", turns, "writing")


# `small` is a model that is asked for what it finds likely.
JUDGES: dict[str, Callable[[Any], Made]] = {
    "rules": lambda small: rules(True),
    "rules, loose": lambda small: rules(False),
    "mt-bench": lambda small: (GradeJudge(Scripted(graded)), of_turns()),
    "mt-bench-likely": lambda small: (LikelyJudge(LocalModel(small, cache=False)), of_turns()),
}
COMPARERS: dict[str, Callable[[Any], tuple[Comparer, Questions]]] = {
    "mt-bench-pairs": lambda small: (PairJudge(Scripted(prefers_longer)), of_turns()),
    "mt-bench-likely": lambda small: (LikelyJudge(LocalModel(small, cache=False)), of_turns()),
}


@pytest.fixture(scope="module")
def small() -> Any:
    """Its context holds the short answers."""
    loaded = local.load("lab", device="cpu", dtype="float32")
    loaded.model.config.max_position_embeddings = 512
    return loaded


@pytest.fixture(params=list(JUDGES))
def made(request: pytest.FixtureRequest, small: Any) -> Made:
    return JUDGES[request.param](small)


@pytest.fixture(params=list(COMPARERS))
def comparing(request: pytest.FixtureRequest, small: Any) -> tuple[Comparer, Questions]:
    return COMPARERS[request.param](small)


def answered(questions: Questions, texts: Sequence[str] = ANSWERS) -> list[Answered]:
    """Every answer to the question of one turn, and pairs of them to that of two."""
    one, two = questions
    pairs = zip(texts, [*texts[1:], *texts[:1]])
    return [Answered(one, (text,)) for text in texts] + [Answered(two, pair) for pair in pairs]


def check(judge: Judge | Comparer, found: Sequence[Sequence[Verdict]], todo: Sequence[Answered]) -> None:
    assert judge.name
    assert [len(turns) for turns in found] == [len(one.answers) for one in todo]
    for verdict in (one for turns in found for one in turns):
        if verdict.score is None:
            assert verdict.details, "a verdict without a score has to say why"
        else:
            assert 0.0 <= verdict.score <= 1.0


def test_every_turn_has_a_verdict_between_0_and_1_or_one_that_says_why_not(made: Made) -> None:
    """Breaks seen to fail: the second turn left out; the number of checks that hold as the score; no reason given."""
    judge, questions = made
    todo = answered(questions)
    check(judge, judge.judge(todo), todo)


def test_the_same_answers_have_the_same_verdicts(made: Made) -> None:
    judge, questions = made
    assert judge.judge(answered(questions)) == judge.judge(answered(questions))


def test_an_answer_is_judged_by_itself_in_whatever_order(made: Made) -> None:
    """Break seen to fail: verdicts sorted by the questions' ids."""
    judge, questions = made
    todo = answered(questions)
    all_at_once = judge.judge(todo)
    assert judge.judge(todo[::-1]) == all_at_once[::-1]
    assert [judge.judge([one])[0] for one in todo] == all_at_once
    assert judge.judge([]) == []


def test_who_wrote_an_answer_changes_nothing(made: Made) -> None:
    judge, (one, _) = made
    mine, other = (judge.judge([Answered(one, (ANSWERS[0],), by=name)]) for name in ("mine", "other"))
    assert mine == other


def test_two_answers_are_compared_by_turn_each_pair_by_itself(comparing: tuple[Comparer, Questions]) -> None:
    comparer, questions = comparing
    mine, other = (answered(questions, texts) for texts in (SOME, SOME[::-1]))
    found = comparer.compare(mine, other)
    check(comparer, found, mine)
    assert comparer.compare(mine[::-1], other[::-1]) == found[::-1]
    assert [comparer.compare([one], [two])[0] for one, two in zip(mine, other)] == found
    assert comparer.compare([], []) == []


def test_who_is_better_is_the_same_from_either_side(comparing: tuple[Comparer, Questions]) -> None:
    """Which is what showing each pair in both orders is for; against itself an answer is level."""
    comparer, questions = comparing
    mine, other = (answered(questions, texts) for texts in (SOME, SOME[::-1]))
    sides = zip(comparer.compare(mine, other), comparer.compare(other, mine), comparer.compare(mine, mine))
    read = [verdicts for turns in sides for verdicts in zip(*turns) if None not in [one.score for one in verdicts]]
    assert read
    for there, back, level in read:
        assert there.score == pytest.approx(1 - back.score)
        assert level.score == pytest.approx(0.5)
        assert {one.details["winners"][0] for one in (there, back)} <= {MINE, OTHER, TIE}
