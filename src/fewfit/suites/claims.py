"""A paper's claim and whether it holds here: a figure with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Holds = Literal["holds", "does not hold", "not settled", "not run"]
Z = 1.96


@dataclass(frozen=True)
class Claim:
    letter: str
    says: str
    holds: Holds
    figures: str


@dataclass(frozen=True)
class Mean:
    """Over questions of all seeds; `low` and `high` are its 95% interval, for these trainings: another training of the
    same lane may differ by more, which seeds that differ will show."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.0f} ({100 * self.low:.0f} to {100 * self.high:.0f})"


def mean(values: Sequence[float], least: float = 0.0, most: float = 1.0) -> Mean:
    """The interval is that of the values and two more at either end of what they may be (Agresti and Coull): where all
    are alike, few of them still say little."""
    more = [*values, least, least, most, most]
    middle = sum(more) / len(more)
    spread = math.sqrt(sum((value - middle) ** 2 for value in more)) / len(more)
    return Mean(sum(values) / len(values), max(least, middle - Z * spread), min(most, middle + Z * spread))


def settled(found: Mean, least: float) -> Holds:
    """Whether it is above: surely, surely not, or neither."""
    return "holds" if found.low > least else "does not hold" if found.high < least else "not settled"
