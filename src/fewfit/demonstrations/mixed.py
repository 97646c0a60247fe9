"""Half of them most similar to the query, the rest any.

Contexts that are all alike teach a model to copy, contexts that are all random teach it to look away from them (arXiv
2604.01601).
"""

from __future__ import annotations

from collections.abc import Sequence

from fewfit.demonstrations.chooser import Moment
from fewfit.demonstrations.random import Random
from fewfit.demonstrations.similar import most_similar
from fewfit.examples.example import Example


class Mixed:
    per_query = True

    def choose(self, candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
        alike = most_similar(candidates, target, (shots + 1) // 2, at)
        left = [one for one in candidates if not any(one.conflicts_with(other) for other in alike)]
        others = Random().choose(left, target, shots - len(alike), at)
        return sorted([*alike, *others], key=lambda one: (at.number(one.id), one.id))  # in no order of likeness
