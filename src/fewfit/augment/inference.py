"""What was inferred, from what, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fewfit.examples import as_dict
from fewfit.examples.example import Example

TOO_LONG = "target too long"  # the one reason for which nothing was asked


@dataclass(frozen=True)
class Inference:
    """`made_from` are the ids of every example that the model was shown, the context included: it may not be trained on
    before all of them were predicted."""

    example: Example
    strategy: str
    made_from: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """A row that `load` reads."""
        return {**as_dict(self.example), "strategy": self.strategy, "made_from": list(self.made_from)}


@dataclass
class Account:
    """What went in and what came out. `dropped` counts by reason what was written and is not kept; `seconds` and
    `prompt_tokens` are those that were really spent: a beginning that many prompts share counts once."""

    asked: int = 0  # targets
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def tokens_told(self) -> bool:
        """Some endpoints do not count, and what was answered was not asked with no tokens."""
        return self.prompt_tokens > 0 or not (self.kept or self.dropped.keys() - {TOO_LONG})

    def add(self, other: Account) -> None:
        for name in ("asked", "prompt_tokens", "new_tokens", "seconds", "kept"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dropped += other.dropped

    def as_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "seconds": round(self.seconds, 3),
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Account:
        return Account(**{**record, "dropped": Counter(record["dropped"])})
