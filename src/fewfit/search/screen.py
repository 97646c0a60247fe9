"""How likely the right answers are behind each candidate, which costs no judge's call; then a race of the best part.

Free of calls, not of work: the model reads every question behind every candidate, in later rounds behind the better
half of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from fewfit.search.calls import Calls
from fewfit.search.pool import Added
from fewfit.search.racing import better_half, race
from fewfit.search.strategy import Problem

KEPT, LEAST = 0.25, 4


@dataclass(frozen=True)
class Screen:
    name: str = "screen"

    def budget(self, problem: Problem) -> int | None:
        return problem.quarter

    def search(self, problem: Problem, calls: Calls) -> Iterator[Added]:
        added: Added = ()
        field = problem.pool.in_order(problem.seed)
        for rounds_left in range(problem.k, 0, -1):
            field = problem.pool.beside(added, field)
            if not field:
                return
            likely = {one: fmean(calls.likelihoods((*added, one), problem.questions)) for one in field}
            best = sorted(field, key=lambda one: -likely[one])[: max(LEAST, math.ceil(KEPT * len(likely)))]
            raced = race(added, best, problem.questions, calls, calls.left / rounds_left)
            if not raced.ranked:
                return
            added = (*added, raced.ranked[0])
            yield added
            if raced.spent:
                return
            field = better_half(problem, added, likely)
