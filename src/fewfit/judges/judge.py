"""What a judge is: it sees answers, and says how good each is, by turn.

A new judge is a file here; tests/conformance/test_judges.py says what every one keeps to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fewfit.judges.question import Answered

MINE, OTHER, TIE = "mine", "other", "tie"
NOTHING = "nothing to check in this turn"  # the reason of a verdict that nobody wants


@dataclass(frozen=True)
class Verdict:
    """`score` lies in [0, 1] and is None where the judge's words could not be read. `details` are the judge's own: its
    rating on its own scale, which checks held, what it wrote."""

    score: float | None
    details: Mapping[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    @property
    def name(self) -> str: ...

    def judge(self, answered: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        """A verdict for each turn of each, in their order. The same answers have the same verdicts."""


class Comparer(Protocol):
    @property
    def name(self) -> str: ...

    def compare(self, mine: Sequence[Answered], other: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        """By turn, how much better mine are than the other's to the same questions: 1, 0, or ½ where neither is. One
        that is asked in both orders has the two `winners` in its details: with mine shown first, then the other's."""
