"""Rows dealt out: candidates, questions to search on, and questions held out. What is related stays together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fewfit import draw
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.examples.related import related
from fewfit.search.pool import Pool

MOST_CANDIDATES = 100  # as many as the paper draws
KINDS = ("start", "question", "held-out")  # of rows that come in files of their own


@dataclass(frozen=True)
class Split:
    """`start` are demonstrations that stand already. `unit` says of each candidate what it is related by."""

    candidates: tuple[Example, ...]
    questions: tuple[Example, ...]
    held_out: tuple[Example, ...]
    start: tuple[Example, ...]
    unit: Mapping[str, str]

    @property
    def pool(self) -> Pool:
        return Pool(tuple(one.id for one in self.candidates), self.unit)

    @property
    def examples(self) -> tuple[Example, ...]:
        return (*self.candidates, *self.questions, *self.held_out)


def split(
    rows: Sequence[Example],
    *,
    seed: int,
    pool: int | None = None,
    questions: Sequence[Example] | None = None,
    held_out: Sequence[Example] | None = None,
    start: Sequence[Example] = (),
) -> Split:
    """`pool` is the number of candidates; by default a third of the rows, or all of them where questions are given.

    Rows that are related to the start or to a question that was given are left out, since a candidate must not know a
    question's answer; where questions are not held out, every other of them is.
    """
    given = (start, questions or (), held_out or ())
    started, asked, outside = (named(kind, some) for kind, some in zip(KINDS, given, strict=True))
    everything = [*rows, *started, *asked, *outside]
    units = {one.id: everything[unit].id for one, unit in zip(everything, related(everything), strict=True)}
    known = {units[one.id] for one in started}
    outside = without(outside, known, units)
    asked = without(asked, known | {units[one.id] for one in outside}, units)
    rows = without(draw.order(rows, seed), known | {units[one.id] for one in (*asked, *outside)}, units)
    own = len(rows) if questions is not None else len(rows) // (2 if held_out is not None else 3)
    candidates, rest = dealt(rows, min(own, MOST_CANDIDATES) if pool is None else pool, units)
    if questions is None:
        asked = rest
    if held_out is None:
        asked = draw.shuffled(asked, lambda one: one.id, seed=seed, purpose="held-out")
        outside, asked = dealt(asked, len(asked) // 2, units)
    for name, some in (("candidates", candidates), ("questions to search on", asked), ("held-out questions", outside)):
        if not some:
            raise UserError(
                f"{len(rows)} rows leave no {name}", hint="give more rows, a smaller --pool, or files of them"
            )
    unit = {one.id: units[one.id] for one in candidates}
    return Split(tuple(candidates), tuple(asked), tuple(outside), tuple(started), unit)


def named(kind: str, some: Sequence[Example]) -> list[Example]:
    """Rows of several files have the same numbers."""
    return [replace(one, id=f"{kind}:{one.id}") for one in some]


def without(some: Sequence[Example], known: set[str], units: Mapping[str, str]) -> list[Example]:
    return [one for one in some if units[one.id] not in known]


def dealt(some: Sequence[Example], most: int, units: Mapping[str, str]) -> tuple[list[Example], list[Example]]:
    """The first of them, whole units, up to so many; and the others."""
    sizes: dict[str, int] = {}
    for one in some:
        sizes[units[one.id]] = sizes.get(units[one.id], 0) + 1
    taken: set[str] = set()
    count = 0
    for unit, size in sizes.items():
        if count + size <= most:
            taken.add(unit)
            count += size
    return [one for one in some if units[one.id] in taken], [one for one in some if units[one.id] not in taken]
