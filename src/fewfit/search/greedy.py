"""Every candidate on every question, the best one added, and again (arXiv 2405.19874).

The paper narrows the pool after the first round to the candidates that reached 6.2 of 10 points, about three quarters
of them, and asks several times in later rounds. Scores of other tasks know no 6.2, so without a threshold three
quarters stay. What it does when calls run out half way is ours: it takes the best of those that were asked to the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from fewfit.search.calls import Calls, Spent
from fewfit.search.pool import Added
from fewfit.search.strategy import NARROWED, Problem


@dataclass(frozen=True)
class Greedy:
    """`threshold` is a mean score; `repeats` is how often the later rounds ask."""

    threshold: float | None = None
    repeats: int = 1
    name: str = "greedy"

    def budget(self, problem: Problem) -> int | None:
        return None

    def search(self, problem: Problem, calls: Calls) -> Iterator[Added]:
        added: Added = ()
        field = problem.pool.in_order(problem.seed)
        for _ in range(problem.k):
            means: dict[str, float] = {}
            spent = False
            for one in problem.pool.beside(added, field):
                try:
                    means[one] = calls.mean((*added, one), problem.questions, self.repeats if added else 1)
                except Spent:
                    spent = True
                    break
            if means:
                best = max(means, key=lambda one: means[one])
                if not added:
                    field = self.narrowed(problem, means, best)
                added = (*added, best)
                yield added
            if spent or not means:
                return

    def narrowed(self, problem: Problem, means: dict[str, float], best: str) -> list[str]:
        """In later rounds; where the threshold leaves nobody, it is of no use."""
        ranked = sorted(means, key=lambda one: -means[one])
        if self.threshold is not None:
            size = sum(means[one] >= self.threshold for one in means) or len(means)
        else:
            size = math.ceil(NARROWED * len(ranked))
        return problem.pool.enough((best,), ranked, size, problem.k - 1)
