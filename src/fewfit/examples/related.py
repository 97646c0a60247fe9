"""Which examples belong together: what is learnt from one of them must not be asked of another."""

from __future__ import annotations

from collections.abc import Sequence

from fewfit.examples.example import Example


def related(examples: Sequence[Example]) -> list[int]:
    """For each, the place of the first that it shares a prompt or a group with, be it through others."""
    first: dict[object, int] = {}
    parent = list(range(len(examples)))

    def top(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    for place, one in enumerate(examples):
        for mark in (("prompt", one.asked), ("group", one.group)):
            if mark[1] is not None:
                ends = top(place), top(first.setdefault(mark, place))
                parent[max(ends)] = min(ends)
    return [top(place) for place in range(len(examples))]


def apart(some: Sequence[Example], others: Sequence[Example]) -> list[Example]:
    """Those of `some` that are related to none of the others."""
    units = related([*others, *some])
    known = set(units[: len(others)])
    return [one for one, unit in zip(some, units[len(others) :], strict=True) if unit not in known]
