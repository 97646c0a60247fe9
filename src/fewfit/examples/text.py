"""Bytes to text: UTF-8 with or without a mark, any line ends; everything else is refused with its line."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from pathlib import Path

from fewfit.errors import UserError

SAVE_AS_UTF8 = "save the file as UTF-8"


def read_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError("the file is UTF-16", where=str(path), hint=SAVE_AS_UTF8)
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise UserError("the file is empty", where=str(path), hint='write one row a line, as in {"prompt": "…"}')
    return content


def decode(content: bytes, path: Path, first_line: int = 1) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = first_line + content.count(b"\n", 0, error.start)
        raise UserError(
            f"byte 0x{content[error.start]:02x} is not UTF-8", where=f"{path}:{line}", hint=SAVE_AS_UTF8
        ) from None


def repeated(items: Iterable[str]) -> str | None:
    """The first that stands there a second time."""
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def shorten(text: str, length: int = 60) -> str:
    """Text for a message: one line, not too long."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
