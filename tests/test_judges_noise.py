"""What a judge says of itself: each figure is found where it was put, and is none where there is nothing to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from fewfit.draw import number, unit
from fewfit.judges import MINE, OTHER, TIE, Verdict
from fewfit.judges.mt_bench import GradeJudge, PairJudge
from fewfit.judges.noise import agreement, length_correlation, noise, position, rank_agreement, spearman
from tests.judges_made import Scripted, answered, graded, prefers_longer, questions

Scores = list[tuple[Verdict, ...]]


def verdicts(n: int, score: Callable[[int, int], float | None], turns: int = 2) -> Scores:
    return [tuple(Verdict(score(k, turn)) for turn in range(turns)) for k in range(n)]


def drawn(*key: Any) -> float:
    return round(unit(*key) * 9) / 9


# ---- agreement with itself -------------------------------------------------------------------------------------------


def test_a_judge_that_repeats_itself_agrees_with_itself() -> None:
    first = verdicts(20, lambda k, turn: drawn(k, turn))
    found = agreement(first, first, "the same")
    assert (found.same.value, found.apart.value, found.how) == (1, 0, "the same")
    assert found.correlation.value == pytest.approx(1) and found.same.interval is not None
    assert found.same.interval[0] < 0.9 and found.same.interval[1] == 1  # 20 questions do not prove more
    assert found.same.n == 40


def test_one_that_draws_lots_does_not() -> None:
    """Break seen to fail: the verdicts of the first time compared with themselves."""
    found = agreement(verdicts(80, lambda k, t: drawn(k, t)), verdicts(80, lambda k, t: drawn("again", k, t)), "lots")
    assert found.same.value < 0.3 and found.apart.value > 0.2  # type: ignore[operator]
    assert found.correlation.interval[0] < 0 < found.correlation.interval[1]  # type: ignore[index]


def test_what_was_not_read_both_times_is_left_out() -> None:
    """Break seen to fail: None counted as agreement."""
    first = verdicts(4, lambda k, turn: None if turn else k / 4)
    again = verdicts(4, lambda k, turn: None if k == 0 or turn else k / 4)
    assert (agreement(first, again, "").same.value, agreement(first, again, "").same.n) == (1, 3)
    nothing = agreement(verdicts(3, lambda k, turn: None), again[:3], "")
    assert (nothing.same.value, nothing.apart.value, nothing.correlation.n) == (None, None, 0)


def test_a_judge_is_asked_again_by_chance() -> None:
    some = answered(questions(5), lambda one, turn: f"{one.id} {turn}")
    judge = GradeJudge(Scripted(graded))
    again = judge.again(1, 0.7)
    assert isinstance(again.model, Scripted) and again.model.seed == 1 and again.prompts is judge.prompts
    assert agreement(judge.judge(some), again.judge(some), "seed 1 at 0.7").same.value == 1


# ---- position --------------------------------------------------------------------------------------------------------


def pairs(n: int, winners: Callable[[int], tuple[str | None, str | None]]) -> Scores:
    return [(Verdict(0.5, {"winners": list(winners(k))}),) for k in range(n)]


def test_a_judge_that_takes_the_first_is_seen() -> None:
    """Break seen to fail: the second order read as the first, so that the bias is a half."""
    found = position(pairs(30, lambda k: (MINE, OTHER)))
    assert (found.turned.value, found.first.value) == (1, 1) and found.first.interval[0] > 0.8  # type: ignore[index]
    found = position(pairs(30, lambda k: (OTHER, MINE)))
    assert (found.turned.value, found.first.value) == (1, 0)
    fair = position(pairs(30, lambda k: (MINE, MINE) if k % 3 else (OTHER, OTHER)))
    assert (fair.turned.value, fair.first.value) == (0, 0.5) and fair.turned.interval[1] > 0.05  # type: ignore[index]


def test_ties_turn_but_name_no_place() -> None:
    """Break seen to fail: a tie counted as a winner shown second."""
    found = position(pairs(10, lambda k: (MINE, TIE)))
    assert (found.turned.value, found.first.value, found.first.n) == (1, 1, 10)
    ties = position(pairs(10, lambda k: (TIE, TIE)))
    assert (ties.turned.value, ties.first.value) == (0, None)
    unread = position(pairs(10, lambda k: (MINE, None)) + pairs(2, lambda k: (MINE, MINE)))
    assert (unread.turned.value, unread.turned.n) == (0, 2)


def test_the_place_is_that_which_the_judge_was_shown() -> None:
    """Through the judge itself, which is made to take A."""
    mine = answered(questions(6), lambda one, turn: "mine")
    other = answered(questions(6), lambda one, turn: "other")
    found = position(PairJudge(Scripted(lambda text: "[[A]]")).compare(mine, other))
    assert (found.turned.value, found.first.value, found.first.n) == (1, 1, 24)


# ---- length ----------------------------------------------------------------------------------------------------------


def test_a_judge_that_likes_length_is_seen() -> None:
    some = answered(questions(30), lambda one, turn: "x" * (number(one.id, turn) % 500))
    long = [tuple(Verdict(min(len(text) / 500, 1)) for text in one.answers) for one in some]
    found = length_correlation(some, long)
    assert found.value == pytest.approx(1) and found.interval == pytest.approx((1, 1)) and found.n == 60
    blind = length_correlation(some, verdicts(30, lambda k, turn: drawn(k, turn)))
    assert blind.interval[0] < 0 < blind.interval[1]  # type: ignore[index]
    assert length_correlation(some, verdicts(30, lambda k, turn: 0.5)).value is None


def test_of_a_comparison_it_is_the_difference_that_counts() -> None:
    """Break seen to fail: the length of mine alone."""
    mine = answered(questions(40), lambda one, turn: "x" * (number(one.id, turn) % 500))
    other = answered(questions(40), lambda one, turn: "x" * (number("o", one.id, turn) % 500))
    verdict = PairJudge(Scripted(lambda text: prefers_longer(text) if "<answer A>" in text else "[[C]]"))
    first = [one[:1] for one in verdict.compare(mine, other)]
    mine = [type(one)(one.question, one.answers[:1]) for one in mine]
    other = [type(one)(one.question, one.answers[:1]) for one in other]
    assert length_correlation(mine, first, other).value > 0.85  # type: ignore[operator]
    assert length_correlation(mine, first).value < 0.75  # type: ignore[operator]


def test_spearman_is_scipys() -> None:
    """Ties included. Break seen to fail: ranks by argsort."""
    from scipy.stats import spearmanr

    for seed in range(5):
        rows = np.random.default_rng(seed).integers(0, 5, (40, 2)).astype(float)
        assert spearman(rows) == pytest.approx(spearmanr(rows[:, 0], rows[:, 1]).statistic)


# ---- two judges ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_judges_rank_alike_or_not() -> None:
    """Break seen to fail: the rows of one judge resampled without the other's."""
    random = np.random.default_rng(0)
    strength = np.linspace(0, 1, 6)[:, None]
    one = strength + random.normal(0, 0.1, (6, 40))
    two = strength**2 + random.normal(0, 0.1, (6, 40))
    alike = rank_agreement(one, two)
    assert alike.value == pytest.approx(1) and alike.interval[0] > 0.6 and alike.n == 6  # type: ignore[index]
    assert rank_agreement(one, -two).value == pytest.approx(-1)
    lots = rank_agreement(random.random((6, 40)), random.random((6, 40)))
    assert lots.interval[0] < 0 < lots.interval[1]  # type: ignore[index]
    one[2, 5] = np.nan  # a verdict that could not be read
    assert rank_agreement(one, two).value == pytest.approx(1)
    # What both judges see alike of a question is no difference of theirs.
    shared = random.normal(0, 3, (6, 40))
    tight = rank_agreement(shared + random.normal(0, 0.01, (6, 40)), shared + random.normal(0, 0.01, (6, 40)))
    apart = rank_agreement(shared, shared, same_questions=False)
    assert tight.interval[0] > 0.8 > apart.interval[0]  # type: ignore[index]


def test_two_sets_of_questions_are_drawn_apart() -> None:
    random = np.random.default_rng(1)
    strength = np.linspace(0, 2, 5)[:, None]
    one, two = strength + random.random((5, 30)), strength + random.random((5, 12))
    assert rank_agreement(one, two, same_questions=False).value == pytest.approx(1)
    with pytest.raises(ValueError, match="are no conditions by the same questions"):
        rank_agreement(one, two)
    assert rank_agreement(one[:2], one[:2]).interval is None  # of two conditions there is nothing to draw
    assert rank_agreement([[0.5, 0.5]] * 4, [[0.5, 0.5]] * 4).value is None


def test_all_of_it_is_one_record() -> None:
    """Break seen to fail: unread verdicts left out of the share's count."""
    mine = answered(questions(8), lambda one, turn: "x" * int(one.id))
    other = answered(questions(8), lambda one, turn: "xxxx")
    judge = PairJudge(Scripted(lambda text: prefers_longer(text) if "<answer A>" in text else "hm"))
    first = judge.compare(mine, other)
    found = noise(judge.name, mine, first, other=other, again=first, how="the same again")
    assert (found.n, found.unread.value) == (16, 0.5) and found.position is not None and found.agreement is not None
    assert found.length.value > 0.8 and found.agreement.same.value == 1  # type: ignore[operator]
    assert json.loads(json.dumps(asdict(found)))["judge"] == "mt-bench-pairs:scripted"
    alone = noise("grades", mine, verdicts(8, lambda k, turn: k / 8))
    assert alone.position is None and alone.agreement is None and alone.unread.value == 0
    nothing = noise("none", [], [])
    assert (nothing.n, nothing.unread.value, nothing.length.value) == (0, None, None)
