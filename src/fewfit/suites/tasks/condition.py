"""What is compared: a way to use the examples, in one setting or the best of several by its score over the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fewfit.errors import UserError
from fewfit.grid import KINDS, Grid, Kind, Lane


@dataclass(frozen=True)
class Condition:
    """`again`: not what the stream made of it, but trained afresh on all examples in i.i.d. order, as many updates.
    `least`: it is not run on fewer examples."""

    name: str
    lanes: tuple[Lane, ...]
    again: bool = False
    least: int = 0

    @property
    def kind(self) -> Kind:
        return self.lanes[0].kind

    @property
    def described(self) -> str:
        """Its lanes by name, which say all that they are."""
        return ",".join(lane.name for lane in self.lanes) + (" i.i.d." if self.again else "")


def by_kind(
    kinds: Sequence[str] = KINDS,
    shots: Sequence[int] = (4,),
    lr: Sequence[float] = (3e-4,),
    updates: Sequence[int] = (3,),
) -> tuple[Condition, ...]:
    """The paper's methods: each with all its settings, of which the stream chooses."""
    if odd := next((kind for kind in kinds if kind not in KINDS), None):
        raise UserError(f"no kind {odd}", hint=f"one of {', '.join(KINDS)}")
    lanes = Grid.of(methods=kinds, shots=shots, lr=lr, updates=updates).lanes
    found = [Condition(kind, tuple(lane for lane in lanes if lane.kind == kind)) for kind in KINDS]
    return tuple(one for one in found if one.lanes)


def per_query(condition: Condition) -> Condition:
    """Demonstrations drawn anew for each question: no set is looked for first."""
    lanes = (replace(lane, deliver="per-query") if lane.is_fixed else lane for lane in condition.lanes)
    return replace(condition, lanes=tuple(lanes))


def lanes_of(conditions: Sequence[Condition]) -> tuple[Lane, ...]:
    """Each once: conditions may share a stream."""
    return tuple(dict.fromkeys(lane for one in conditions for lane in one.lanes))


def check(conditions: Sequence[Condition]) -> None:
    names = [one.name for one in conditions]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two conditions called {doubled}", hint="name each once")
    Grid(lanes_of(conditions))
