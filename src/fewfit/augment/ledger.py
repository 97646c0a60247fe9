"""What was made so far, beside the file that it goes to: a line for each block of targets, on the disk before its rows
are. So a process may be killed at any moment: what the ledger holds is not made again, and the file is made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fewfit.errors import UserError
from fewfit.files import hold, one_line, publish, sync_folder

SUFFIX = ".progress"


class Ledger:
    """`blocks` are lists of targets: {"key", "rows", "denied", "account"}."""

    def __init__(self, out: Path, file: IO[str], asked: dict[str, Any], blocks: list[list[dict[str, Any]]]):
        self.out, self._file, self.asked, self.blocks = out, file, asked, blocks

    @property
    def made(self) -> list[dict[str, Any]]:
        return [one for block in self.blocks for one in block]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for one in self.made for row in one["rows"]]

    def append(self, block: list[dict[str, Any]]) -> None:
        write_through(self._file, one_line(block) + "\n")
        self.blocks.append(block)
        with self.out.open("a", encoding="utf-8", newline="") as out:
            write_through(out, text_of(row for one in block for row in one["rows"]))


@contextmanager
def opened(out: Path, asked: dict[str, Any]) -> Iterator[Ledger]:
    """Goes on where an earlier process ended, where it was asked the same."""
    path = out.with_name(out.name + SUFFIX)
    if out.exists() and not path.exists():
        raise UserError("is there already, and not by this command", where=str(out), hint="name another --out")
    with path.open("a+", encoding="utf-8", newline="") as file:
        try:
            hold(file)
        except OSError:
            raise UserError("another process writes it", where=str(out), hint="wait for it") from None
        first, blocks = read(path)
        if first is None:
            write_through(file, one_line(asked) + "\n")
            sync_folder(path.parent.absolute())
        elif first != json.loads(one_line(asked)):
            now = json.loads(one_line(asked))
            differing = next(name for name in {**now, **first} if first.get(name) != now.get(name))
            raise UserError(
                f"was begun with another {differing}", where=str(out),
                hint=f"name another --out, or delete it and {path.name}",
            )  # fmt: skip
        ledger = Ledger(out, file, asked, blocks)
        restore(out, text_of(iter(ledger.rows)).encode())
        yield ledger


def read(path: Path) -> tuple[dict[str, Any] | None, list[list[dict[str, Any]]]]:
    """What it was asked and the blocks; half a line, written when a process died, is cut off."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    try:
        lines = [json.loads(line) for line in whole.split(b"\n") if line]
    except ValueError:
        raise UserError("is no record of fewfit augment", where=str(path), hint="delete it") from None
    return (lines[0], lines[1:]) if lines else (None, [])


def restore(out: Path, content: bytes) -> None:
    """The file as the ledger has it. What the ledger does not know is the user's, and is not written over."""
    there = out.read_bytes() if out.exists() else b""
    if not content.startswith(there):
        raise UserError("was changed since it was made", where=str(out), hint="put it aside, or name another --out")
    if there != content or not out.exists():
        publish(out.absolute(), content)


def text_of(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(one_line(row) + "\n" for row in rows)


def write_through(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
