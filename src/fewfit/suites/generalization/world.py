"""A made-up world: documents that state facts, and questions whose answers follow from them and stand in none of them.

A fact is a relation and what stands in it, `("is a", "glon", "femp")`: the truth kept beside the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal

Fact = tuple[str, ...]
Scale = Literal["paper", "small"]
Names = Literal["nonsense", "plausible"]


@dataclass(frozen=True)
class Document:
    """What is trained on, or stands in the prompt. `facts` are all that it states."""

    id: str
    text: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Question:
    """`prompt` and an option, with a space between them, are a sentence or an answer; the options are not shown.

    `fact` is what the right option states, `made_from` the stated facts that it follows from. `also_right` are options
    that say the same as the answer the other way round ("no femp are glon" for "no glon are femp"): choosing one of
    them is right, too.
    """

    id: str
    split: str
    prompt: str
    options: tuple[str, ...]
    answer: str
    fact: Fact
    made_from: tuple[Fact, ...]
    also_right: tuple[str, ...] = ()

    @property
    def right(self) -> tuple[str, ...]:
        return (self.answer, *self.also_right)

    @property
    def chance(self) -> float:
        return len(self.right) / len(self.options)


@dataclass(frozen=True)
class World:
    """`inferences` are true consequences in the documents' style, those that are asked for among them: who trains on
    them has been told everything."""

    name: str
    scale: Scale
    names: Names
    seed: int
    documents: tuple[Document, ...]
    questions: tuple[Question, ...]
    inferences: tuple[Document, ...]

    @cached_property
    def digest(self) -> str:
        """Of all that a model may read of it: wordings change between versions, and published files are the user's."""
        texts = [one.text for one in (*self.documents, *self.inferences)]
        asked = [(one.split, one.prompt, one.options, one.answer) for one in self.questions]
        return sha256(repr((texts, asked)).encode()).hexdigest()

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(question.split for question in self.questions))
