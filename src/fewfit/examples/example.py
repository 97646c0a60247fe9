"""One checked example: what everything after `examples` works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

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

    @cached_property
    def asked(self) -> str | tuple[Message, ...]:
        """The prompt as all renderers read it: white space at its ends says nothing, and a lone turn is its text."""
        if isinstance(self.prompt, str):
            return self.prompt.strip()
        turns = tuple(Message(turn.role, turn.content.strip()) for turn in self.prompt)
        return turns[0].content if [turn.role for turn in turns] == ["user"] else turns

    def conflicts_with(self, other: Example) -> bool:
        """True where one must never be a demonstration for the other."""
        if self.id == other.id or (self.asked == other.asked and not self.is_document):
            return True
        return self.group is not None and self.group == other.group


def as_dict(example: Example) -> dict[str, Any]:
    """An example as a row that `load` reads; what it does not have is left out."""
    prompt = example.prompt
    row: dict[str, Any] = {"id": example.id}
    if example.is_document:
        row["text"] = example.completion
    else:
        written = prompt if isinstance(prompt, str) else [{"role": m.role, "content": m.content} for m in prompt]
        row |= {"prompt": written, "completion": example.completion}
    if example.choices is not None:
        row["choices"] = list(example.choices)
    if example.group is not None:
        row["group"] = example.group
    return row


def from_dict(row: Mapping[str, Any]) -> Example:
    if "text" in row:
        return Example(row["id"], "", row["text"], group=row.get("group"))
    prompt, choices = row["prompt"], row.get("choices")
    return Example(
        id=row["id"],
        prompt=prompt if isinstance(prompt, str) else tuple(Message(m["role"], m["content"]) for m in prompt),
        completion=row["completion"],
        choices=None if choices is None else tuple(choices),
        group=row.get("group"),
    )
