"""Demonstrations at use, in the stream and in the bundle (`Lane.deliver`).

    per-query    each prediction has a draw of its own, each query one of DRAWS by its hash: means over draws, both
    ensemble:m   the answers behind m draws are averaged
    fixed        one set, drawn from the first quarter of the stream, is used from there on and by all queries

A chooser that looks at the query is asked anew for each: of what is said here it heeds the ensemble alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from fewfit import draw
from fewfit.demonstrations.chooser import Chooser, Moment
from fewfit.examples.example import Example
from fewfit.grid import Lane, parse_deliver

NEXT = Example(id="\0next", prompt="\0next", completion="")  # the example to come conflicts with none


def fixed_from(n: int, shots: int) -> int:
    """The examples that a fixed set is drawn from: predictions of later ones are evidence of it."""
    return min(n, max(shots, n // 4))


def fixed_set(chooser: Chooser, order: Sequence[Example], shots: int, seed: int) -> tuple[Example, ...]:
    early = order[: fixed_from(len(order), shots)]
    return tuple(chooser.choose(early, NEXT, shots, Moment(seed, 0, 1, "fixed demos")))


def delivered_sets(
    chooser: Chooser, order: Sequence[Example], lane: Lane, seed: int
) -> tuple[tuple[Example, ...], ...]:
    """The sets that a bundle made of these examples holds."""
    shots = lane.shots_at_use
    if not shots:
        return ((),)
    if lane.is_fixed:
        return (fixed_set(chooser, order, shots, seed),)
    moments = [Moment(seed, len(order) + 1, 1, purpose(k)) for k in range(parse_deliver(lane.deliver))]
    return tuple(tuple(chooser.choose(order, NEXT, shots, at)) for at in moments)


def sets_of_query(lane: Lane, query: Example, sets: int) -> Sequence[int]:
    """Which of a bundle's sets a query is answered behind."""
    return range(sets) if lane.members > 1 else (query_number(query) % sets,)


def query_number(query: Example) -> int:
    """The same query is answered in the same way whenever it comes."""
    return draw.number("query", str(query.prompt))


def purpose(k: int) -> str:
    """Of the k-th draw for one prediction."""
    return "demos" if k == 0 else f"demos of draw {k}"
