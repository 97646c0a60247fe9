"""Candidates whose effects are known: what a set is truly worth can be worked out, and a judge's word is drawn.

The logit of a right answer is the base model's, the question's difficulty, what each candidate adds (a second one adds
less than it would alone), and a little of its own for each pair of candidate and question.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean

from fewfit import draw

GAUSS = NormalDist()
TRUTH = 400  # questions to work the truth out on


@dataclass(frozen=True)
class Made:
    """`levels` 1: a verdict is right or wrong; 9: a rating from 1 to 10. Numbers are logits, drawn by hash from the
    seed."""

    candidates: int
    seed: int
    effects: float = 0.5  # deviation of candidates
    difficulty: float = 1.2  # deviation of questions
    pairs: float = 0.4  # deviation of what a candidate does to one question
    base: float = 0.0
    fading: float = 0.7  # the second candidate adds so much of its own, the third this squared
    levels: int = 1

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"c{number}" for number in range(self.candidates))

    def normal(self, *key: str) -> float:
        return GAUSS.inv_cdf(min(max(draw.unit(self.seed, *key), 1e-9), 1 - 1e-9))

    def chance(self, added: Sequence[str], question: str) -> float:
        logit = self.base + self.difficulty * self.normal("question", question)
        for place, one in enumerate(added):
            own = self.effects * self.normal("candidate", one) + self.pairs * self.normal("pair", one, question)
            logit += self.fading**place * own
        return 1 / (1 + math.exp(-logit))

    def truth(self, added: Sequence[str]) -> float:
        """The mean over questions that nobody was asked."""
        return fmean(self.chance(added, f"unseen {number}") for number in range(TRUTH))

    def score(self, added: Sequence[str], questions: Sequence[str], repeat: int = 0) -> list[float]:
        found = []
        for one in questions:
            chance = self.chance(added, one)
            # Each of the levels is passed or not; the same set is judged the same when asked again.
            passed = [draw.unit(self.seed, "verdict", *added, one, repeat, n) < chance for n in range(self.levels)]
            found.append(sum(passed) / self.levels)
        return found

    def likelihood(self, added: Sequence[str], questions: Sequence[str]) -> list[float]:
        """Related to the chance and not the same: half of what a candidate does to likelihood is its own."""
        own = sum(self.effects * self.normal("likelihood of", one) for one in added)
        return [math.log(self.chance(added, one)) + 0.25 * own for one in questions]
