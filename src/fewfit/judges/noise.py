"""How far a judge can be trusted, by its own verdicts: what it cannot say, whether it says the same twice, and what
moves it that should not.

    unread             share of verdicts that could not be read
    agreement          with itself, asked again: another seed at a temperature above 0 or, for a judge that is asked
                       without chance, another wording of its prompt
    position           of comparisons: how often the verdict turns with the order, and which place gains
    length             Spearman's correlation of score and length
    rank agreement     Kendall's tau of two judges over the same conditions
Intervals are 95% and count questions, not verdicts, since the turns of one are alike: Clopper-Pearson of shares, else
by bootstrap.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewfit.judges.judge import MINE, NOTHING, OTHER, TIE, Verdict
from fewfit.judges.question import Answered
from fewfit.stats.criterion import generator
from fewfit.stats.intervals import clopper_pearson

RESAMPLES = 1000
LEVELS = (0.025, 0.975)
LEAST = 3  # questions below which there is nothing to correlate

Verdicts = Sequence[Sequence[Verdict]]
Interval = tuple[float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """None where there is nothing to measure: fewer than three questions, or all alike."""

    value: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True)
class Agreement:
    """Of a judge with itself. `same`: share of verdicts that are equal; `apart`: the mean distance of scores;
    `correlation`: Spearman's. `how` says what was different the second time."""

    how: str
    same: Figure
    apart: Figure
    correlation: Figure


@dataclass(frozen=True)
class Position:
    """`turned`: share of pairs whose verdict hangs on the order; `first`: of the verdicts that name a winner, the share
    that names the answer shown first, where a fair judge has one half."""

    turned: Figure
    first: Figure


@dataclass(frozen=True)
class Noise:
    judge: str
    n: int
    unread: Figure
    length: Figure
    agreement: Agreement | None = None
    position: Position | None = None


def noise(
    name: str,
    answered: Sequence[Answered],
    verdicts: Verdicts,
    *,
    other: Sequence[Answered] | None = None,
    again: Verdicts | None = None,
    how: str = "",
) -> Noise:
    """Of verdicts that are there; `other` are the answers that a comparer saw beside these, `again` its verdicts the
    second time."""
    wanted = [[one for one in some if one.details.get("reason") != NOTHING] for some in verdicts]
    return Noise(
        name,
        sum(len(one) for one in wanted),
        share([np.array([float(verdict.score is None) for verdict in some]) for some in wanted]),
        length_correlation(answered, verdicts, other),
        agreement(verdicts, again, how) if again is not None else None,
        position(verdicts) if other is not None else None,
    )


def agreement(first: Verdicts, again: Verdicts, how: str) -> Agreement:
    """Of the verdicts that could be read both times."""
    pairs = [
        [(a.score, b.score) for a, b in zip(one, two, strict=True) if a.score is not None and b.score is not None]
        for one, two in zip(first, again, strict=True)
    ]
    pairs_Q = [np.array(some, dtype=np.float64).reshape(-1, 2) for some in pairs if some]
    return Agreement(
        how,
        share([np.array(rows[:, 0] == rows[:, 1], dtype=np.float64) for rows in pairs_Q]),
        bootstrapped("apart", pairs_Q, lambda rows: float(np.abs(rows[:, 0] - rows[:, 1]).mean())),
        bootstrapped("again", pairs_Q, spearman),
    )


def position(verdicts: Verdicts) -> Position:
    """Of verdicts whose details name the `winners` in both orders."""
    turned: list[Floats] = []
    first: list[Floats] = []
    for one in verdicts:
        both = [winners for verdict in one if (winners := verdict.details.get("winners")) and None not in winners]
        if both:
            turned.append(np.array([float(a != b) for a, b in both]))
        # Whoever stood first in each order and was named the better.
        named = [
            float(winner == shown)
            for winners in both
            for winner, shown in zip(winners, (MINE, OTHER), strict=True)
            if winner != TIE
        ]
        if named:
            first.append(np.array(named))
    return Position(share(turned), share(first))


def length_correlation(
    answered: Sequence[Answered], verdicts: Verdicts, other: Sequence[Answered] | None = None
) -> Figure:
    """With the answer's length in characters; of a comparison, with how much longer it is than the other's."""
    rows = []
    for k, (one, some) in enumerate(zip(answered, verdicts, strict=True)):
        lengths = [len(text) for text in one.answers]
        if other is not None:
            lengths = [a - len(text) for a, text in zip(lengths, other[k].answers, strict=True)]
        there = [(n, verdict.score) for n, verdict in zip(lengths, some, strict=True) if verdict.score is not None]
        if there:
            rows.append(np.array(there, dtype=np.float64))
    return bootstrapped("length", rows, spearman)


def rank_agreement(
    first_CQ: Sequence[Sequence[float]], second_CQ: Sequence[Sequence[float]], *, same_questions: bool = True
) -> Figure:
    """Kendall's tau of the conditions' means by two judges: one row a condition, in the same order, one column a
    question; NaN is a verdict that could not be read. Two sets of questions are drawn apart."""
    one_CQ, two_CQ = np.asarray(first_CQ, dtype=np.float64), np.asarray(second_CQ, dtype=np.float64)
    if len(one_CQ) != len(two_CQ) or (same_questions and one_CQ.shape != two_CQ.shape):
        raise ValueError(f"{one_CQ.shape} and {two_CQ.shape} are no conditions by the same questions")
    value = kendall(np.nanmean(one_CQ, axis=1), np.nanmean(two_CQ, axis=1))
    if value is None or len(one_CQ) < LEAST:
        return Figure(value, None, len(one_CQ))
    random, found = generator("rank agreement"), []
    for _ in range(RESAMPLES):
        some = random.integers(one_CQ.shape[1], size=one_CQ.shape[1])
        others = some if same_questions else random.integers(two_CQ.shape[1], size=two_CQ.shape[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a condition of which nothing drawn was read
            means = np.nanmean(one_CQ[:, some], axis=1), np.nanmean(two_CQ[:, others], axis=1)
        found.append(kendall(*means))
    return Figure(value, quantiles(found), len(one_CQ))


# ---- figures ---------------------------------------------------------------------------------------------------------


def share(hits_Q: Sequence[Floats]) -> Figure:
    """As if each question had one hit or none, or a part of one."""
    hits_Q = [hits for hits in hits_Q if len(hits)]
    if not hits_Q:
        return Figure(None, None, 0)
    value = float(np.concatenate(hits_Q).mean())
    return Figure(value, clopper_pearson(value * len(hits_Q), len(hits_Q)), sum(len(hits) for hits in hits_Q))


def bootstrapped(purpose: str, rows_Q: Sequence[Floats], figure: Callable[[Floats], float | None]) -> Figure:
    """Rows are by question, and questions are drawn: the turns of one are alike."""
    number = sum(len(rows) for rows in rows_Q)
    if not rows_Q:
        return Figure(None, None, 0)
    value = figure(np.concatenate(rows_Q))
    if value is None or len(rows_Q) < LEAST:
        return Figure(value, None, number)
    random = generator(f"{purpose} of a judge")
    found = []
    for _ in range(RESAMPLES):
        drawn = random.integers(len(rows_Q), size=len(rows_Q))
        found.append(figure(np.concatenate([rows_Q[k] for k in drawn])))
    return Figure(value, quantiles(found), number)


def quantiles(found: Sequence[float | None]) -> Interval | None:
    there = [one for one in found if one is not None]
    return (float(np.quantile(there, LEVELS[0])), float(np.quantile(there, LEVELS[1]))) if there else None


def spearman(rows: Floats) -> float | None:
    """Pearson's correlation of the ranks, ties at their mean rank; None where one side is constant."""
    from scipy.stats import rankdata

    if len(rows) < LEAST:
        return None
    ranks = rankdata(rows, axis=0)
    spread = ranks.std(axis=0)
    if not spread.all():
        return None
    return float(((ranks - ranks.mean(axis=0)).prod(axis=1)).mean() / spread.prod())


def kendall(one: Floats, two: Floats) -> float | None:
    from scipy.stats import kendalltau

    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        return None
    value = float(kendalltau(one, two).statistic)
    return value if np.isfinite(value) else None
