"""What makes a prompt of a conversation, and one that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fewfit.errors import UserError
from fewfit.prompts.conversation import Conversation, Turn
from fewfit.writing import AnyAsked, Writer

TOO_LONG = "too-long"


class Prompter(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def demonstrations(self) -> tuple[Conversation, ...]: ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Where a model that goes on by itself is to be stopped."""

    def asked(self, history: Sequence[Turn], query: str) -> AnyAsked:
        """The query behind what was said before it; what stands in `before` is the same for every query."""

    def answer(self, text: str) -> str:
        """What was written, without what a frame adds."""

    def last(self, number: int) -> Prompter:
        """With no more than its last so many demonstrations."""


def fitted(
    prompter: Prompter, writer: Writer, history: Sequence[Turn], query: str, max_new_tokens: int, *, where: str = ""
) -> AnyAsked:
    """As many demonstrations as leave room for an answer: the first ones go first."""
    asked = prompter.asked(history, query)
    if writer.limit is None or (tokens := writer.count(asked)) + max_new_tokens <= writer.limit:
        return asked
    fits, over = -1, len(prompter.demonstrations)  # so many do, so many do not
    while over - fits > 1:
        number = (fits + over) // 2
        one = prompter.last(number).asked(history, query)
        shown = writer.count(one)
        if shown + max_new_tokens <= writer.limit:
            fits, asked = number, one
        else:
            over, tokens = number, shown
    if fits < 0:
        raise UserError(
            f"does not fit: {tokens} tokens of prompt without any demonstration and {max_new_tokens} for the answer, "
            f"and the model takes {writer.limit}",
            where=where or f"prompt {prompter.name}",
            hint="allow fewer new tokens, or leave it out",
            code=TOO_LONG,
        )
    return asked
