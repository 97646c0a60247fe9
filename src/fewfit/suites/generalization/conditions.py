"""The ways of telling a model about a world that are compared: each a lane, and what it learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fewfit.augment import cumulative, independent
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.suites.generalization.world import Document, World

Part = Literal["documents", "independent", "cumulative", "local", "global", "document", "truth", "diluted"]
INFERRED: tuple[Part, ...] = ("local", "global", "document")  # by the model that is to learn
Infer = Callable[[Part], Sequence[Example]]


@dataclass(frozen=True)
class Condition:
    """`learns` is what is trained on, nothing where the model stays as it is; `shows` puts all documents before every
    question."""

    name: str
    learns: tuple[Part, ...] = ()
    shows: bool = False

    def lane(self, usual: Lane) -> Lane:
        """A lane that will have documents in its prompt learns from as many of them together as others have in a
        batch: the same tokens, in one row."""
        if not self.learns:
            return Lane()
        return replace(usual, batch=1, shots=usual.batch - 1) if self.shows else usual

    def splits_nothing(self, world: World) -> bool:
        """Whether it learns from sentences, and the documents are of one sentence each."""
        split = {"independent", "cumulative"} & set(self.learns)
        return bool(split) and len(independent(documents(world))) == len(world.documents)


CONDITIONS = (
    Condition("none"),
    Condition("icl", shows=True),
    Condition("ft", ("documents",)),
    Condition("ft-independent", ("independent",)),
    Condition("ft-cumulative", ("cumulative",)),
    Condition("ft+local", ("documents", "local")),
    Condition("ft+global", ("documents", "global")),
    Condition("ft+document", ("documents", "document")),
    Condition("ft+local+global", ("documents", "local", "global")),
    Condition("ft+truth", ("documents", "truth")),
    Condition("ft+diluted", ("documents", "diluted")),
    Condition("icl+ft", ("documents",), shows=True),
    Condition("icl+ft+local+global", ("documents", "local", "global"), shows=True),
)


def conditions(names: Sequence[str] | None = None) -> tuple[Condition, ...]:
    if names is None:
        return CONDITIONS
    known = {one.name: one for one in CONDITIONS}
    if unknown := next((name for name in names if name not in known), None):
        raise UserError(f"unknown condition {unknown!r}", hint=f"choose among {', '.join(known)}")
    return tuple(known[name] for name in names)


def documents(world: World) -> tuple[Example, ...]:
    return told(world.documents)


def told(some: Sequence[Document]) -> tuple[Example, ...]:
    return tuple(Example(one.id, "", one.text) for one in some)


def material(condition: Condition, world: World, infer: Infer) -> tuple[Example, ...]:
    """Everything that a condition is trained on; ids tell where each part of it comes from. `infer` makes what needs
    the model: its inferences, and truth with as many errors as they have."""
    found: list[Example] = []
    for part in condition.learns:
        some: Sequence[Example]
        if part == "documents":
            some = documents(world)
        elif part == "independent":
            some = independent(documents(world))
        elif part == "cumulative":
            some = cumulative(documents(world))
        elif part == "truth":
            some = told(world.inferences)
        else:
            some = infer(part)
        found += [replace(one, id=f"{part}/{one.id}") for one in some]
    return tuple(found)
