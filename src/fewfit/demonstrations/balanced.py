"""Answers take turns, as far as there are examples of each: four shots of two labels are two of either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fewfit.demonstrations.chooser import Moment
from fewfit.examples.example import Example


class Balanced:
    per_query = False

    def choose(self, candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
        left = sorted(candidates, key=lambda one: (at.number(one.id), one.id), reverse=True)
        left = [one for one in left if not one.conflicts_with(target)]
        taken: list[Example] = []
        times: Counter[str] = Counter()
        while left and len(taken) < shots:
            best = min(left, key=lambda one: times[one.completion])  # of equals the first by hash
            taken.append(best)
            times[best.completion] += 1
            left = [one for one in left if not one.conflicts_with(best)]
        return taken[::-1]
