"""What a chooser of demonstrations is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fewfit import draw
from fewfit.examples.example import Example


@dataclass(frozen=True)
class Moment:
    """When a prompt is written: all that chance may depend on. It knows no lane, so that lanes of equal shots see
    identical prompts."""

    seed: int
    i: int
    update: int
    purpose: str = "demos"

    def number(self, id: str) -> int:
        """A number by hash: what a chooser has in place of a generator's state."""
        return draw.number(self.seed, self.i, self.update, self.purpose, id)


class Chooser(Protocol):
    """`per_query`: what it takes depends on the question, so a bundle keeps the pool and it chooses anew for each."""

    per_query: bool

    def choose(self, candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
        """Up to `shots` of the candidates, in prompt order: the last stands next to the target.

        None that shares group or prompt with the target or with another one taken; nothing hangs on the target's
        answer, nor on the order of the candidates.
        """
