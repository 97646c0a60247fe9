"""All candidates on a few questions, those ahead on more, the last ones on many.

In each round calls are shared out over halvings, as many for each: the worse half leaves, and the half that stays is
asked twice as much (sequential halving, Karnin et al. 2013). All are asked the same questions, so what tells two apart
is their difference, question by question; a candidate also leaves when what it lacks on the leader is more than the
remaining questions are likely to bring back.

Later rounds begin with the better half of the round before, and with what was learnt of it: in simulation that is worth
about a point (results/search.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fewfit.search.calls import Calls, Spent
from fewfit.search.pool import Added
from fewfit.search.strategy import Problem

BEHIND = 2.6  # standard deviations, as for lanes (stats/race.py)
FIRST = 3  # questions, before anybody may leave
TURNS = 20


@dataclass(frozen=True)
class Racing:
    name: str = "racing"

    def budget(self, problem: Problem) -> int | None:
        return problem.quarter

    def search(self, problem: Problem, calls: Calls) -> Iterator[Added]:
        added: Added = ()
        field = problem.pool.in_order(problem.seed)
        head_start: dict[str, float] = {}
        for rounds_left in range(problem.k, 0, -1):
            field = problem.pool.beside(added, field)
            if not field:
                return
            raced = race(added, field, problem.questions, calls, calls.left / rounds_left, head_start)
            if not raced.ranked:
                return
            added = (*added, raced.ranked[0])
            yield added
            if raced.spent:
                return
            ahead = leads(raced.told)  # of one that was not asked nothing is known, good or bad
            head_start = {one: head_start.get(one, 0.0) + ahead.get(one, 0.0) for one in field}
            field = better_half(problem, added, head_start)


def better_half(problem: Problem, added: Added, worth: Mapping[str, float]) -> list[str]:
    """By what is known of each."""
    able = problem.pool.beside(added, sorted(worth, key=lambda one: -worth[one]))
    return problem.pool.enough(added, able, math.ceil(len(able) / 2), problem.k - len(added))


class Raced(NamedTuple):
    """`ranked`: the best first, those that left last before those that left early. `told` are scores on the first
    questions, on more of them the longer a candidate stayed. `spent`: calls ran out."""

    ranked: list[str]
    told: dict[str, list[float]]
    spent: bool


def race(
    added: Added,
    field: Sequence[str],
    questions: Sequence[str],
    calls: Calls,
    allowance: float,
    head_start: Mapping[str, float] = MappingProxyType({}),
) -> Raced:
    """`field` is in the order in which equals are preferred; `head_start` counts like points already made. Of a field
    that the allowance cannot ask FIRST questions twice over, the last are not asked at all."""
    first = min(FIRST, len(questions))
    alive = list(field[: max(1, int(min(allowance, len(field) * 2 * first) // (2 * first)))])
    told: dict[str, list[float]] = {one: [] for one in alive}
    left: list[str] = []
    begun, asked = calls.used, 0

    def by_score(some: Sequence[str], upto: int) -> list[str]:
        return sorted(some, key=lambda one: -(sum(told[one][:upto]) + head_start.get(one, 0.0)))

    try:
        for halvings in range(max(1, math.ceil(math.log2(len(alive)))), 0, -1):
            share = (allowance - (calls.used - begun)) / halvings / len(alive)
            upto = len(questions) if share >= len(questions) - asked else max(asked + int(share), first, asked + 1)
            for one in alive:
                told[one] += calls.scores((*added, one), questions[asked:upto])
            asked = upto
            ranked = by_score(alive, asked)
            stay = set(ranked[: math.ceil(len(ranked) / 2)]) - surely_behind(ranked, told, len(questions) - asked)
            left = [one for one in ranked if one not in stay] + left
            alive = [one for one in ranked if one in stay]
            if len(alive) == 1 or asked == len(questions):
                break
    except Spent:  # some were asked more than others: what all were asked counts
        known = [one for one in alive if told[one]]
        return Raced(by_score(known, min((len(told[one]) for one in known), default=0)) + left, told, True)
    return Raced(alive + left, told, False)


def leads(told: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By how many points each is ahead of the field on the questions that it was asked.

    Questions that only the better ones were asked are no harder for it: score = question + candidate, candidates drawn
    towards nothing by two questions' worth, solved in turns.
    """
    most = max(map(len, told.values()))
    score_CQ = np.array([[*some, *[np.nan] * (most - len(some))] for some in told.values()])
    there_CQ = ~np.isnan(score_CQ)
    count_C, ahead_C = there_CQ.sum(axis=1), np.zeros(len(told))
    for _ in range(TURNS):
        mean_Q = np.where(there_CQ, score_CQ - ahead_C[:, None], 0.0).sum(axis=0) / there_CQ.sum(axis=0)
        ahead_C = np.where(there_CQ, score_CQ - mean_Q, 0.0).sum(axis=1) / (count_C + 2)
    return dict(zip(told, (ahead_C * count_C).tolist(), strict=True))


def surely_behind(ranked: Sequence[str], told: dict[str, list[float]], left: int) -> set[str]:
    """Those whose deficit to the leader is more than BEHIND deviations of what the questions left can still change."""
    score_CQ = np.array([told[one] for one in ranked])
    behind_CQ = score_CQ[0] - score_CQ
    n = score_CQ.shape[1] + 2
    deficit_C = behind_CQ.sum(axis=1)
    # Two pseudo-observations: candidates that happen to differ by the same on each of few questions are not sure yet.
    variance_C = (np.square(behind_CQ).sum(axis=1) + 2 * 2 * score_CQ.var()) / n - np.square(deficit_C / n)
    out_C = deficit_C > BEHIND * np.sqrt(np.maximum(variance_C, 0.0) * left)
    return {one for one, is_out in zip(ranked[1:], out_C[1:], strict=True) if is_out}
