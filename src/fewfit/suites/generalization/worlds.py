"""The worlds by name."""

from __future__ import annotations

from collections.abc import Callable

from fewfit.errors import UserError
from fewfit.suites.generalization.curse import build_curse
from fewfit.suites.generalization.processes import build_processes
from fewfit.suites.generalization.reversals import build_reversals
from fewfit.suites.generalization.structure import build_structure
from fewfit.suites.generalization.syllogisms import build_syllogisms
from fewfit.suites.generalization.world import Names, Scale, World

WORLDS: dict[str, Callable[..., World]] = {
    "reversals": build_reversals,
    "syllogisms": build_syllogisms,
    "curse": build_curse,
    "structure": build_structure,
    "processes": build_processes,
}


def build(name: str, *, scale: Scale = "paper", seed: int = 0, names: Names = "nonsense") -> World:
    if name not in WORLDS:
        raise UserError(f"unknown world {name!r}: choose one of {', '.join(WORLDS)}")
    return WORLDS[name](scale, seed=seed, names=names)
