"""What a writer is, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from fewfit.writing.asked import AnyAsked
from fewfit.writing.decoding import Decoding

ANSWERS = ("yes", "no")


class Written(NamedTuple):
    """`ended`: at a stop, not at the last token allowed."""

    text: str
    ended: bool
    prompt_tokens: int
    new_tokens: int


class Affirmed(NamedTuple):
    """Whether the likelier answer is yes, and what asking cost; no new tokens where none was written."""

    yes: bool
    prompt_tokens: int
    new_tokens: int = 0


class Writer(Protocol):
    limit: int | None  # tokens of a prompt and what is written behind it

    def count(self, text: str | AnyAsked) -> int:
        """Tokens, roughly."""

    def write(self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding) -> list[Written]:
        """In the order of the prompts. What is drawn hangs on the seed and a prompt's key."""

    def stream(
        self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding
    ) -> Iterator[tuple[int, Written]]:
        """The same, each as soon as it is there, with its place."""

    def affirm(self, asked: Sequence[AnyAsked]) -> list[Affirmed]:
        """In the order of the prompts."""
