"""Cells to what an example holds: text, turns, choices."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.example import Message, Role
from fewfit.examples.text import repeated, shorten

ROLES: tuple[Role, ...] = ("system", "user", "assistant")
LONGEST_TEXT = 1_000_000  # characters; beyond any model's context, and tokenising it takes minutes
MOST_CHOICES = 1000  # that can be scored for every row in sensible time


class Notices:
    """Things done to many rows, said once each with a count and the first place."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, what: str, where: str) -> None:
        self._count[what] += 1
        self._first.setdefault(what, where)

    def lines(self) -> tuple[str, ...]:
        return tuple(
            f"{what}: {count} {'row' if count == 1 else 'rows'}, first {self._first[what]}"
            for what, count in self._count.items()
        )


def missing(value: Any) -> bool:
    """None, and what tables write for it: NaN, pandas' NaT and NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def empty(value: Any) -> bool:
    return missing(value) or value == ""


def scalar(value: Any) -> str | None:
    """Text of a string, number or truth value; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"  # as JSON writes it, whatever the source
    if isinstance(value, int | float):
        return repr(value)
    return None


def text(value: Any, what: str, where: str, notices: Notices) -> str:
    """A prompt or answer as text. `what` is "the prompt" or the like."""
    if missing(value):
        raise UserError(f"{what} is null", where=where, hint="fill it in")
    written = scalar(value)
    if written is None:
        kind = {"list": "a list", "dict": "an object"}.get(type(value).__name__, type(value).__name__)
        raise UserError(f"{what} is {kind}, not text", where=where, hint="write it as a string")
    if not isinstance(value, str):
        notices.add("numbers and truth values were written as text", where)
    encodable(written, what, where)
    if len(written) > LONGEST_TEXT:
        message = f"{what} is {len(written):,} characters long, and {LONGEST_TEXT:,} are the most"
        raise UserError(message, where=where, hint="shorten it")
    if not written.strip():
        raise UserError(f"{what} is empty", where=where, hint="fill it in")
    return written


def encodable(written: str, what: str, where: str) -> None:
    try:
        written.encode()
    except UnicodeEncodeError:
        message = f"{what} holds half a surrogate pair, which is no character"
        raise UserError(message, where=where, hint="write the character itself") from None


def trimmed(written: str, notices: Notices, what: str, where: str) -> str:
    if written == written.strip():
        return written
    notices.add(f"white space around {what} was trimmed", where)
    return written.strip()


def is_turns(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(turn, Mapping) for turn in value)


def turns(value: Any, what: str, where: str, notices: Notices) -> tuple[Message, ...]:
    """Messages, each with a role that templates know and text in it."""
    if not is_turns(value):
        hint = 'write a list such as [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]'
        raise UserError(f"{what} is no list of messages", where=where, hint=hint)
    messages = []
    for n, turn in enumerate(value, start=1):
        for key in turn:
            encodable(str(key), f"a key of message {n} of {what}", where)
        role = turn.get("role")
        if role not in ROLES:
            message = f"message {n} of {what} has the role {shorten(repr(role))}"
            raise UserError(message, where=where, hint="roles are system, user and assistant")
        if role == "system" and n > 1:
            raise UserError(f"message {n} of {what} is a system turn", where=where, hint="a system turn comes first")
        if unused := [key for key in turn if key not in ("role", "content") and not missing(turn[key])]:
            notices.add(f"messages carry what is not used ({', '.join(map(str, unused))})", where)
        messages.append(Message(role, text(turn.get("content"), f"message {n} of {what}", where, notices)))
    return tuple(messages)


def prompt(value: Any, where: str, notices: Notices) -> str | tuple[Message, ...]:
    if not is_turns(value):
        return text(value, "the prompt", where, notices)
    messages = turns(value, "the prompt", where, notices)
    if messages[-1].role != "user":
        hint = "the last turn before the answer is the user's"
        raise UserError(f"the prompt ends with the {messages[-1].role}'s turn", where=where, hint=hint)
    return messages


def completion(value: Any, where: str, notices: Notices) -> str:
    """The answer as text; TRL writes it as a list of one assistant message too."""
    if is_turns(value):
        messages = turns(value, "the answer", where, notices)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise UserError("the answer is not one assistant message", where=where, hint="give exactly one")
        return messages[0].content
    return text(value, "the answer", where, notices)


def conversation(value: Any, where: str, notices: Notices) -> tuple[tuple[Message, ...], str]:
    """The last assistant turn is the answer, the turns before it are context."""
    messages = turns(value, "the conversation", where, notices)
    if messages[-1].role != "assistant":
        hint = "the last turn is the answer: end with the assistant's"
        raise UserError(f"the conversation ends with the {messages[-1].role}'s turn", where=where, hint=hint)
    if len(messages) < 2 or messages[-2].role != "user":
        hint = "put the user's turn right before the answer"
        raise UserError("no user turn stands before the answer", where=where, hint=hint)
    return messages[:-1], messages[-1].content


def row_choices(value: Any, where: str, notices: Notices) -> tuple[str, ...] | None:
    """A row's own options: a list, or JSON for one where cells are text."""
    if empty(value):
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UserError("choices is no list", where=where, hint='write it as ["first", "second"]')
    options = tuple(trimmed(text(v, "a choice", where, notices), notices, "choices", where) for v in value)
    return distinct(options, where)


def distinct(options: Sequence[str], where: str) -> tuple[str, ...]:
    if len(options) < 2:
        raise UserError("fewer than two choices", where=where, hint="give two or more, or none at all")
    if len(options) > MOST_CHOICES:
        hint = "each is a sequence of its own for every row: leave them out, and compare the text with --metric match"
        raise UserError(f"{len(options)} choices, and {MOST_CHOICES} are the most", where=where, hint=hint)
    if (twice := repeated(options)) is not None:
        raise UserError(f"the choice {shorten(twice)!r} stands twice", where=where, hint="give each choice once")
    return tuple(options)


def label(value: Any, what: str, where: str) -> str | None:
    """An id or a group: text or a whole number; None where there is none."""
    if empty(value):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas turns whole numbers to floats where one of the column is missing
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        encodable(str(value), what, where)
        return str(value)
    raise UserError(f"{what} is {shorten(repr(value))}", where=where, hint="write it as text or a whole number")
