"""How likely answers are behind no, one, two, … demonstrations, for the model as it is: the curve by number of shots.

It trains nothing. The examples stand in a ring; sets of demonstrations begin at evenly spaced places of it, each set is
read once, and behind it all examples that are not in it. So at every number of shots every example is asked, never
behind itself, and what is compared are the same examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from fewfit.demonstrations.delivery import SETS, Set
from fewfit.engine.task import Task
from fewfit.examples.example import Example

Curve = dict[int, float]  # by number of shots: nats a token of the answer, or of the right choice among all


def curve(
    model: Any,
    task: Task,
    order: Sequence[Example],
    shots: Sequence[int],
    stopped: Callable[[], None] = lambda: None,
) -> Curve:
    """Of as many of `shots` as there are examples for. `stopped` raises where it is time to stop."""
    told = {k: asked_behind(model, task, order, k, stopped) for k in shots if k <= most_shots(len(order))}
    common = [n for n in range(len(order)) if all(some[n] for some in told.values())]
    return {k: fmean(fmean(some[n]) for n in common) for k, some in told.items()} if common else {}


def best(found: Curve) -> int:
    """Of equals the fewest."""
    return min(found, key=lambda k: (found[k], k))


def most_shots(n: int) -> int:
    """With more of them some examples would be in every set."""
    return n - math.ceil(n / SETS)


def asked_behind(
    model: Any, task: Task, order: Sequence[Example], shots: int, stopped: Callable[[], None]
) -> list[list[float]]:
    """By example: its nats behind each of the sets that it shares nothing with."""
    from fewfit.engine.likelihood import behind

    found: list[list[float]] = [[] for _ in order]
    for demos in sets_of(order, shots):
        stopped()
        able = [n for n, one in enumerate(order) if not any(demo.conflicts_with(one) for demo in demos)]
        for n, nats in zip(able, behind(model, task, demos, [order[n] for n in able]), strict=True):
            found[n].append(nats)
    return found


def sets_of(order: Sequence[Example], shots: int) -> list[Set]:
    if not shots:
        return [()]
    places = dict.fromkeys(k * len(order) // SETS for k in range(SETS))
    return [none_alike([*order[place:], *order[:place]], shots) for place in places]


def none_alike(order: Sequence[Example], shots: int) -> Set:
    taken: list[Example] = []
    for one in order:
        if len(taken) < shots and not any(one.conflicts_with(other) for other in taken):
            taken.append(one)
    return tuple(taken)
