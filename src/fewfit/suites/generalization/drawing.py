"""Lots drawn by hash, in the manner of `fewfit.draw`: the same key gives the same lot, in any order of asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fewfit.draw import number
from fewfit.suites.generalization.world import Document, Fact

T = TypeVar("T")
Key = int | str


def pick(items: Sequence[T], *key: Key) -> T:
    return items[number(*key) % len(items)]


def shuffle(items: Sequence[T], *key: Key) -> list[T]:
    start = number(*key)  # a long key is hashed once and not for every item
    return [items[index] for index in sorted(range(len(items)), key=lambda index: number(start, index))]


def sample(items: Sequence[T], count: int, *key: Key) -> list[T]:
    """`count` of the items, none twice."""
    if count > len(items):
        raise ValueError(f"{count} of {len(items)} asked for ({key})")
    return shuffle(items, *key)[:count]


def sentence(text: str) -> str:
    """The text with a capital at its start, and a full stop unless it ends with its own mark."""
    end = "" if text.endswith((".", "?", "!")) else "."
    return capital(text) + end


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def number_documents(world: str, kind: str, texts: Sequence[tuple[str, tuple[Fact, ...]]]) -> tuple[Document, ...]:
    return tuple(Document(f"{world}-{kind}-{n:04}", text, facts) for n, (text, facts) in enumerate(texts, 1))
