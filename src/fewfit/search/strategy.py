"""What a strategy is: it asks for scores and says which candidates to add.

A new one is a file here and its line in __init__.py; tests/conformance/test_strategies.py says what every one keeps to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fewfit.search.calls import Calls
from fewfit.search.pool import Added, Pool

NARROWED = 0.75  # of the pool is left after the paper's first round, about


@dataclass(frozen=True)
class Problem:
    """Add k of the pool so that the questions are answered best. They come in an order that was drawn: what is asked of
    some only is asked of the first. Whatever else is drawn is drawn from the seed by hash."""

    pool: Pool
    questions: Sequence[str]
    k: int
    seed: int = 0

    @property
    def greedy_calls(self) -> int:
        """What it takes to ask everything, of the whole pool and then of what is left of it."""
        whole = len(self.pool.ids)
        later = sum(max(0, math.ceil(NARROWED * whole) - gone) for gone in range(1, self.k))
        return len(self.questions) * (whole + later)

    @property
    def quarter(self) -> int:
        """What the cheaper searches make do with."""
        return max(1, self.greedy_calls // 4)


class Strategy(Protocol):
    @property
    def name(self) -> str: ...

    def budget(self, problem: Problem) -> int | None:
        """Judge's calls that it makes do with where none are given; None: as many as it takes."""

    def search(self, problem: Problem, calls: Calls) -> Iterator[Added]:
        """The best that it knows, whenever it knows a better one: the last one counts. `Spent` may end it anywhere."""
