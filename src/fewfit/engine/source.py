"""What a lane may learn from once some examples have been predicted: a training source.

The examples themselves are one, with inferences made from them another. tests/conformance/test_sources.py says what
every one keeps to. One of your own is put into SOURCES before `fit` and `resume`: `SOURCES["mine",] = Mine()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from fewfit.errors import UserError
from fewfit.examples.example import Example


class Item(NamedTuple):
    """Something to learn, and the ids of all examples that it was made from: it may not be trained on before every one
    of them was predicted."""

    example: Example
    made_from: tuple[str, ...]


class Source(Protocol):
    def released(self, order: Sequence[Example], i: int) -> Sequence[Item]:
        """All that may be trained on when the first i examples of the order have been predicted, in the order of their
        release: it grows at its end, and holds only what was made from those i."""


class Examples:
    """Each example from its own prediction on."""

    def released(self, order: Sequence[Example], i: int) -> Sequence[Item]:
        return [Item(example, (example.id,)) for example in order[:i]]


class Inferred:
    """The examples, and before each what was inferred from it alone (`local`, by its id) or from all up to it
    (`together`, by their ids in order). The example comes last, so that what replay calls the newest is the example."""

    def __init__(
        self,
        local: Mapping[str, Sequence[Example]] | None = None,
        together: Mapping[tuple[str, ...], Sequence[Example]] | None = None,
    ):
        self.local, self.together = local or {}, together or {}
        self._known: dict[tuple[str, ...], tuple[list[Item], list[int]]] = {}  # by order: all, and how many at each i

    def released(self, order: Sequence[Example], i: int) -> Sequence[Item]:
        ids = tuple(example.id for example in order)
        if ids not in self._known:
            self._known[ids] = self._in_order(order, ids)
        items, counts = self._known[ids]
        return items[: counts[i]]

    def _in_order(self, order: Sequence[Example], ids: tuple[str, ...]) -> tuple[list[Item], list[int]]:
        items: list[Item] = []
        counts, said, lengths = [0], set(), set(map(len, self.together))
        for k, example in enumerate(order, 1):
            some = [Item(one, (example.id,)) for one in self.local.get(example.id, ())]
            if k in lengths:
                some += [Item(one, ids[:k]) for one in self.together.get(ids[:k], ())]
            for item in some:  # one that was made before is not made twice
                text = (str(item.example.prompt).casefold(), item.example.completion.casefold())
                if text not in said:
                    said.add(text)
                    items.append(item)
            items.append(Item(example, (example.id,)))
            counts.append(len(items))
        return items, counts


# By what a lane adds to the examples (`Lane.augment`). What is inferred belongs to a run, which hands its task sources
# that hold it (run/inferences.py).
SOURCES: dict[tuple[str, ...], Source] = {
    (): Examples(),
    ("local",): Inferred(),
    ("global",): Inferred(),
    ("local", "global"): Inferred(),
}
SHIPPED = frozenset(SOURCES)  # what other processes know, too


def source(name: tuple[str, ...]) -> Source:
    if name not in SOURCES:
        known = ", ".join("+".join(one) or "the examples" for one in SOURCES)
        raise UserError(f"unknown training source {'+'.join(name)!r}", hint=f"there is: {known}")
    return SOURCES[name]
