"""What was made so far, beside the file that it goes to: a line for each block of targets, on the disk before its rows
are. So a process may be killed at any moment: what the ledger holds is not made again, and the file is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.files import one_line, publish
from fewfit.kept import Kept, kept_as_asked

SUFFIX = ".progress"


class Ledger:
    """`blocks` are lists of targets: {"key", "rows", "denied", "account"}."""

    def __init__(self, out: Path, kept: Kept):
        self._out, self._kept = out, kept

    @property
    def blocks(self) -> list[list[dict[str, Any]]]:
        return self._kept.lines[1:]

    @property
    def made(self) -> list[dict[str, Any]]:
        return [one for block in self.blocks for one in block]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for one in self.made for row in one["rows"]]

    def append(self, block: list[dict[str, Any]]) -> None:
        self._kept.add(block)
        with self._out.open("a", encoding="utf-8", newline="") as out:
            out.write(text_of(row for one in block for row in one["rows"]))


def refuse_anothers(out: Path) -> None:
    """Before a model is fetched for nothing."""
    if not out.absolute().parent.is_dir():
        raise UserError("its folder is not there", where=str(out), hint="make it, or name another --out")
    if out.exists() and not progress_of(out).exists():
        raise UserError("is there already, and not by this command", where=str(out), hint="name another --out")


def progress_of(out: Path) -> Path:
    return out.with_name(out.name + SUFFIX)


@contextmanager
def opened(out: Path, asked: dict[str, Any]) -> Iterator[Ledger]:
    """Goes on where an earlier process ended, where it was asked the same."""
    path = progress_of(out)
    hint = f"name another --out, or delete it and {path.name}"
    with kept_as_asked(path, asked, "is no record of fewfit augment", out, hint) as kept:
        ledger = Ledger(out, kept)
        restore(out, text_of(iter(ledger.rows)).encode())
        yield ledger


def restore(out: Path, content: bytes) -> None:
    """The file as the ledger has it. What the ledger does not know is the user's, and is not written over."""
    there = out.read_bytes() if out.exists() else b""
    if not content.startswith(there):
        raise UserError("was changed since it was made", where=str(out), hint="put it aside, or name another --out")
    if there != content or not out.exists():
        publish(out.absolute(), content)


def text_of(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(one_line(row) + "\n" for row in rows)
