"""What a searched set is worth on questions that the search did not see, beside the start and beside random sets.

Sets answer the same questions, so they are compared question by question (Tango's interval, stats/intervals.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fewfit.search.calls import Calls, OnStep
from fewfit.search.pool import Added
from fewfit.search.strategy import Problem
from fewfit.stats import clopper_pearson, tango_interval

RANDOM_SETS = 5
START, RANDOM = "the start", "random sets"


@dataclass(frozen=True)
class Mean:
    score: float
    low: float
    high: float

    @classmethod
    def of(cls, scores: Sequence[float]) -> Mean:
        return cls(fmean(scores), *clopper_pearson(sum(scores), len(scores)))


@dataclass(frozen=True)
class Gain:
    """Of the searched set over another one."""

    over: str
    gain: float
    low: float
    high: float

    @classmethod
    def of(cls, over: str, scores: Sequence[float], others: Sequence[float]) -> Gain:
        apart = [one - other for one, other in zip(scores, others, strict=True)]
        gains, losses = sum(d for d in apart if d > 0), -sum(d for d in apart if d < 0)
        return cls(over, fmean(apart), *tango_interval(gains, losses, len(apart)))

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return f"better than {self.over}"
        return f"worse than {self.over}" if self.high < 0 else f"not shown to be better than {self.over}"


@dataclass(frozen=True)
class Worth:
    """On `n` held-out questions. Of random sets the mean over RANDOM_SETS of as many demonstrations; that there are so
    few is not in the interval."""

    n: int
    means: Mapping[str, Mean]
    gains: tuple[Gain, ...]
    calls: int

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "scores": {name: {"score": x.score, "interval": [x.low, x.high]} for name, x in self.means.items()},
            "gains": [
                {"over": x.over, "gain": x.gain, "interval": [x.low, x.high], "verdict": x.verdict} for x in self.gains
            ],
            "calls": self.calls,
        }


def worth(
    added: Added, problem: Problem, held_out: Sequence[str], calls: Calls, on_step: OnStep | None = None
) -> Worth:
    """`calls` are counted apart from the search's, and have no budget."""

    def scores_of(some: Added) -> list[float]:
        found = calls.scores(some, held_out)
        if on_step is not None:
            on_step(added, calls)
        return found

    drawn = [
        problem.pool.drawn(len(added), problem.seed, f"a random set to compare with, {number}")
        for number in range(RANDOM_SETS)
    ]
    scores = {"searched": scores_of(added), START: scores_of(())}
    scores[RANDOM] = [fmean(some) for some in zip(*(scores_of(one) for one in drawn), strict=True)]
    gains = tuple(Gain.of(over, scores["searched"], scores[over]) for over in (START, RANDOM))
    return Worth(len(held_out), {name: Mean.of(some) for name, some in scores.items()}, gains, calls.used)
