"""The best of as many random sets as the budget pays for: what every search has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fewfit.search.calls import Calls
from fewfit.search.pool import Added
from fewfit.search.strategy import Problem

DRAWS = 10_000  # a small pool gives the same sets again and again


@dataclass(frozen=True)
class Random:
    name: str = "random"

    def budget(self, problem: Problem) -> int | None:
        return problem.quarter

    def search(self, problem: Problem, calls: Calls) -> Iterator[Added]:
        best: float | None = None
        for number in range(DRAWS):
            if calls.left < len(problem.questions):
                return
            one = problem.pool.drawn(problem.k, problem.seed, f"random set {number}")
            mean = calls.mean(one, problem.questions)
            if best is None or mean > best:
                best = mean
                yield one
