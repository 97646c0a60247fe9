"""Lists of words, written as they are read."""

from __future__ import annotations


def listed(text: str, by: str | None = None) -> tuple[str, ...]:
    """The words of the text, or what stands between marks such as ";"."""
    return tuple(part.strip() for part in text.split(by))
