"""What was asked and answered: as an example in a prompt, as training data, or as what came before a query."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """In an example either may be empty, and is then left out: questions alone, or answers alone."""

    query: str
    answer: str


@dataclass(frozen=True)
class Conversation:
    id: str
    turns: tuple[Turn, ...]
