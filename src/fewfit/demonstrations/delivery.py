"""How a bundle comes by the demonstrations of a query.

    per-query    each query has one of DRAWS draws, by its hash: a mean over draws, as the stream's score is one
    ensemble:m   each query is answered behind m draws, and their probabilities are averaged
    fixed        all queries have the same set

A chooser that looks at the query is asked anew for each, whatever is said here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from fewfit import draw
from fewfit.demonstrations.chooser import Chooser, Moment
from fewfit.errors import UserError
from fewfit.examples.example import Example

DRAWS = 16
MOST = 64
NEXT = Example(id="\0next", prompt="\0next", completion="")  # the example to come conflicts with none


class Delivery(NamedTuple):
    kind: str
    draws: int

    @staticmethod
    def of(text: str) -> Delivery:
        if text in ("per-query", "fixed"):
            return Delivery(text, DRAWS if text == "per-query" else 1)
        found = re.fullmatch(r"ensemble:(\d+)", text)
        if found is None or not 2 <= int(found[1]) <= MOST:
            raise UserError(f"--deliver {text}", hint=f"per-query, fixed, or ensemble:m with m from 2 to {MOST}")
        return Delivery("ensemble", int(found[1]))

    def sets(
        self, chooser: Chooser, candidates: Sequence[Example], shots: int, seed: int, i: int
    ) -> tuple[tuple[Example, ...], ...]:
        """The sets that a bundle of i - 1 examples holds."""
        return tuple(
            tuple(chooser.choose(candidates, NEXT, shots, Moment(seed, i, 1, purpose(k)))) for k in range(self.draws)
        )

    def of_query(self, query: Example) -> range:
        """Which of the sets a query is answered behind."""
        if self.kind == "ensemble":
            return range(self.draws)
        at = query_number(query) % self.draws
        return range(at, at + 1)


def query_number(query: Example) -> int:
    """The same query is answered in the same way whenever it comes."""
    return draw.number("query", str(query.prompt))


def purpose(k: int) -> str:
    return "demos" if k == 0 else f"demos of draw {k}"
