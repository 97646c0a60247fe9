"""What a model is asked, turn by turn, and what it answered: what every judge reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """Something that a program verifies of an answer; `name` and `arguments` as the published files have them."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """`turns` are the user's. `references` (right answers) and `checks` are by turn, where there are any."""

    id: str
    turns: tuple[str, ...]
    category: str = ""
    references: tuple[str, ...] = ()
    checks: tuple[tuple[Check, ...], ...] = ()


@dataclass(frozen=True)
class Answered:
    """One answer to each turn; `by` names what wrote them (a model under a condition)."""

    question: Question
    answers: tuple[str, ...]
    by: str = ""
