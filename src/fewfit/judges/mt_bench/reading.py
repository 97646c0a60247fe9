"""A rating, or which of two, out of what a judge wrote; None where it does not say."""

from __future__ import annotations

import re
from typing import Literal

LOW, HIGH = 1.0, 10.0

Side = Literal["A", "B", "tie"]

# MT-Bench's own patterns: the first double bracket, else the first single one.
_RATINGS = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
_SIDES: dict[str, Side] = {"[[A]]": "A", "[[B]]": "B", "[[C]]": "tie"}


def rating(text: str) -> float | None:
    """None also for one off the scale, which MT-Bench would average in."""
    found = next((match for pattern in _RATINGS if (match := pattern.search(text))), None)
    value = float(found[1]) if found else None
    return value if value is not None and LOW <= value <= HIGH else None


def side(text: str) -> Side | None:
    """None also where it names several: MT-Bench takes A then, whichever is meant."""
    named = [side for mark, side in _SIDES.items() if mark in text]
    return named[0] if len(named) == 1 else None


def score(value: float) -> float:
    return (value - LOW) / (HIGH - LOW)
