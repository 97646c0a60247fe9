"""What every judge keeps to, whoever gives its verdict.

A new judge adds a line to JUDGES: its name, and a function that makes it and two questions that it can judge, of one
turn and of two.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fewfit.judges import Answered, Check, Judge, Question
from fewfit.judges.mt_bench import GradeJudge
from fewfit.judges.rules import RulesJudge
from tests.judges_made import Scripted, graded

Made = tuple[Judge, tuple[Question, Question]]

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


def of_a_model() -> Made:
    one, two = (Question(f"of {turns}", ("Tell me of mills.", "And rivers?")[:turns], "writing") for turns in (1, 2))
    return GradeJudge(Scripted(graded)), (one, two)


JUDGES: dict[str, Callable[[], Made]] = {
    "rules": lambda: rules(True),
    "rules, loose": lambda: rules(False),
    "mt-bench": of_a_model,
}


@pytest.fixture(params=list(JUDGES))
def made(request: pytest.FixtureRequest) -> Made:
    return JUDGES[request.param]()


def answered(questions: tuple[Question, Question]) -> list[Answered]:
    """Every answer to the question of one turn, and pairs of them to that of two."""
    one, two = questions
    pairs = zip(ANSWERS, ANSWERS[1:] + ANSWERS[:1])
    return [Answered(one, (text,)) for text in ANSWERS] + [Answered(two, pair) for pair in pairs]


def test_every_turn_has_a_verdict_between_0_and_1_or_one_that_says_why_not(made: Made) -> None:
    """Breaks seen to fail: the second turn left out; the number of checks that hold as the score; no reason given."""
    judge, questions = made
    todo = answered(questions)
    found = judge.judge(todo)
    assert [len(turns) for turns in found] == [len(one.answers) for one in todo]
    for verdict in (one for turns in found for one in turns):
        if verdict.score is None:
            assert verdict.details, "a verdict without a score has to say why"
        else:
            assert 0.0 <= verdict.score <= 1.0


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
    assert judge.name
