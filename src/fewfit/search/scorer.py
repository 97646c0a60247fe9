"""Who says how good answers are behind a set of demonstrations. A search knows nothing else of models and judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fewfit.search.pool import Added


class Scorer(Protocol):
    def score(self, added: Added, questions: Sequence[str], repeat: int = 0) -> list[float]:
        """One in [0, 1] for each question, each a judge's call. Only a judge that is not sure of itself (drawn words, a
        drawn answer) says something else for another `repeat`."""


@runtime_checkable
class Likely(Protocol):
    """A scorer that can also tell, at no judge's call, how likely the right answers are."""

    def likelihood(self, added: Added, questions: Sequence[str]) -> list[float]:
        """Mean log p of a token of each question's right answer, or of the right choice among all."""
