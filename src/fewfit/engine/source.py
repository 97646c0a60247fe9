"""What a lane may learn from once some examples have been predicted: a training source.

The examples themselves are one; inferences made from them would be another. tests/conformance/test_sources.py says what
every one keeps to. One of your own is put into SOURCES before `fit` and `resume`: `SOURCES["mine",] = Mine()`.
"""

from __future__ import annotations

from collections.abc import Sequence
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


SOURCES: dict[tuple[str, ...], Source] = {(): Examples()}  # by what a lane adds to the examples (`Lane.augment`)
SHIPPED = frozenset(SOURCES)  # what other processes know, too


def source(name: tuple[str, ...]) -> Source:
    if name not in SOURCES:
        known = ", ".join("+".join(one) or "the examples" for one in SOURCES)
        raise UserError(f"unknown training source {'+'.join(name)!r}", hint=f"there is: {known}")
    return SOURCES[name]
