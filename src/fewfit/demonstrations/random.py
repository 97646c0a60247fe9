"""Any earlier examples, drawn anew for every prompt."""

from __future__ import annotations

from collections.abc import Sequence

from fewfit import draw
from fewfit.demonstrations.chooser import Moment
from fewfit.examples.example import Example


class Random:
    per_query = False

    def choose(self, candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
        return draw.demonstrations(
            candidates, target, shots, seed=at.seed, i=at.i, update=at.update, purpose=at.purpose
        )
