"""One checked example: what everything after `examples` works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class Example:
    """A prompt and its right answer.

    `id` is the row's own, or its number in the file: never its content, since randomness hangs on it.
    `prompt` is text, or the turns before the answer (the last of them the user's).
    `choices` are this row's own options; None means those of the data set, if it has any.
    `group` names rows that must not stand in each other's prompt (two questions about one document, say).
    A document has no prompt: all of it is answer.
    """

    id: str
    prompt: str | tuple[Message, ...]
    completion: str
    choices: tuple[str, ...] | None = None
    group: str | None = None

    @property
    def is_document(self) -> bool:
        return self.prompt == ""

    def conflicts_with(self, other: Example) -> bool:
        """True where one must never be a demonstration for the other."""
        if self.id == other.id or (self.prompt == other.prompt and not self.is_document):
            return True
        return self.group is not None and self.group == other.group
