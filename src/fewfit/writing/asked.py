"""What a writer is asked. What stands in `before` is the same for many prompts, so it is computed once."""

from __future__ import annotations

from dataclasses import dataclass

from fewfit.examples.example import Message


@dataclass(frozen=True)
class Asked:
    """A text to go on with."""

    before: str
    rest: str

    @property
    def text(self) -> str:
        return self.before + self.rest


@dataclass(frozen=True)
class AskedInTurns:
    """A conversation that ends with the user's turn, laid out by the model's own chat template."""

    before: tuple[Message, ...]
    rest: tuple[Message, ...]

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.before + self.rest


AnyAsked = Asked | AskedInTurns
