"""Questions put to a scorer: each once, counted, and no more than the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from fewfit.errors import UserError
from fewfit.search.ledger import Key, Ledger
from fewfit.search.pool import Added
from fewfit.search.scorer import Likely, Scorer


class Spent(Exception):
    """The budget does not pay for what a strategy wants to know next."""


class Calls:
    """`used` counts what this search wanted to know, whoever asked first: so a search that was killed and begun again,
    or that finds another's answers in the ledger, chooses as if it had been alone. `paid` is what it asked itself.
    `held_out`: the search is over, and questions that it did not see tell what it found."""

    def __init__(
        self, scorer: Scorer, ledger: Ledger | None = None, budget: int | None = None, *, held_out: bool = False
    ) -> None:
        self.scorer, self.ledger, self.budget = scorer, Ledger() if ledger is None else ledger, budget
        self.held_out, self.paid = held_out, 0
        self._wanted: set[Key] = set()

    @property
    def used(self) -> int:
        return len(self._wanted)

    @property
    def left(self) -> float:
        return float("inf") if self.budget is None else self.budget - self.used

    def scores(self, added: Added, questions: Sequence[str], repeats: int = 1) -> list[float]:
        """All of them, or `Spent`; of several repeats the mean."""
        keys: list[list[Key]] = [[("score", added, one, r) for one in questions] for r in range(repeats)]
        new = {key for some in keys for key in some} - self._wanted
        if len(new) > self.left:
            raise Spent
        self._wanted |= new
        for repeat, some in enumerate(keys):
            unknown = [key[2] for key in some if key not in self.ledger]
            if unknown:
                found = self.scorer.score(added, unknown, repeat)
                check(found, unknown)
                self.paid += len(unknown)
                self.ledger.add("score", added, unknown, repeat, found)
        return [fmean(self.ledger[key] for key in of_one) for of_one in zip(*keys, strict=True)]

    def mean(self, added: Added, questions: Sequence[str], repeats: int = 1) -> float:
        return fmean(self.scores(added, questions, repeats))

    def seen(self, added: Added) -> tuple[float, int]:
        """The mean over the questions that this search asked of a set, and their number."""
        values = [self.ledger[key] for key in self._wanted if key[0] == "score" and key[1] == added]
        return fmean(values), len({key[2] for key in self._wanted if key[1] == added})

    def likelihoods(self, added: Added, questions: Sequence[str]) -> list[float]:
        """Costs no judge's call."""
        if not isinstance(self.scorer, Likely):
            raise UserError("nobody tells how likely an answer is here", hint="give --strategy racing")
        keys: list[Key] = [("likelihood", added, one, 0) for one in questions]
        unknown = [key[2] for key in keys if key not in self.ledger]
        if unknown:
            self.ledger.add("likelihood", added, unknown, 0, self.scorer.likelihood(added, unknown))
        return [self.ledger[key] for key in keys]


def check(found: Sequence[Any], questions: Sequence[str]) -> None:
    if len(found) != len(questions):
        raise UserError(f"the judge gave {len(found)} scores for {len(questions)} questions", hint="give one for each")
    for value, question in zip(found, questions, strict=True):
        if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise UserError(f"the judge gave {value!r}", where=f"question {question}", hint="a score lies in [0, 1]")


OnStep = Callable[[Added, Calls], None]  # what is found, and what was asked for it
