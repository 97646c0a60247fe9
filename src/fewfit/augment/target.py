"""One thing that is put to the model, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fewfit.augment.inference import Account, Inference
from fewfit.augment.parsing import PARTED
from fewfit.examples.example import Example
from fewfit.render.plain import flat


@dataclass(frozen=True)
class Target:
    """One thing that is put to the model: a sentence, a document or a pair, and all that it is shown with."""

    key: str
    strategy: str
    example: Example
    text: str  # of a document; of a pair its answer
    context: tuple[Example, ...]

    @property
    def made_from(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*(one.id for one in self.context), self.example.id]))

    @property
    def slots(self) -> dict[str, str]:
        if self.example.is_document:
            return {"text": self.text}
        return {"prompt": one_line(flat(self.example.prompt)), "completion": one_line(self.text)}


class Made(NamedTuple):
    """What came of one target; `denied` are statements that the model does not affirm."""

    target: Target
    inferences: list[Inference]
    account: Account
    denied: tuple[str, ...] = ()


def written(example: Example) -> str:
    """A line of the context."""
    if example.is_document:
        return f"- {one_line(example.completion)}"
    return f"- {one_line(flat(example.prompt))} {PARTED} {one_line(example.completion)}"


def statement(example: Example) -> str:
    """As one who is asked whether it is true reads it."""
    if example.is_document:
        return one_line(example.completion)
    return f"{one_line(flat(example.prompt))} {one_line(example.completion)}"


def one_line(text: str) -> str:
    return " ".join(text.split())
