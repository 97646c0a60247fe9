"""Files of tasks as text; what cannot be read is refused by file and line."""

from __future__ import annotations

from pathlib import Path

from fewfit.examples.text import decode, read_bytes


def text_of(path: Path) -> str:
    return decode(read_bytes(path), path)


def beginning_of(path: Path, length: int) -> str:
    """To tell one form from another, whatever its bytes."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(length)
