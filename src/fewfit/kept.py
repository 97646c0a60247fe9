"""A file of what was made so far: a line for each piece, on the disk before it is used. So a process may be killed at
any moment, and what the file holds is not made again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fewfit.errors import UserError
from fewfit.files import hold, one_line, sync_folder


class Kept:
    """`lines` are those that were there and those that were added."""

    def __init__(self, file: IO[bytes], lines: list[Any]) -> None:
        self._file, self.lines = file, lines

    def add(self, line: Any) -> None:
        self._file.write(one_line(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.lines.append(line)

    def clear(self) -> None:
        self._file.truncate(0)
        self.lines.clear()


@contextmanager
def kept(path: Path, refusal: str, where: Path | None = None) -> Iterator[Kept]:
    """Nobody else writes it meanwhile. A last line that a process was writing when it died is cut off. Errors speak of
    `where`, and say `refusal` of a file of something else."""
    where = where or path
    with path.open("ab") as file:
        try:
            hold(file)
        except OSError:
            raise UserError("another process writes it", where=str(where), hint="wait for it") from None
        sync_folder(path.parent.absolute())
        content = path.read_bytes()
        try:
            lines = ended(content)
        except ValueError:
            raise UserError(refusal, where=str(path), hint="delete it, or name another") from None
        file.truncate(content.rfind(b"\n") + 1)
        yield Kept(file, lines)


@contextmanager
def kept_as_asked(
    path: Path, asked: Mapping[str, Any], refusal: str, where: Path | None = None, hint: str = "name another --out"
) -> Iterator[Kept]:
    """The same, and its first line is what was asked. A file that was begun with something else is refused, unless
    it is of the same kind and nothing came of it."""
    now = json.loads(one_line(asked))
    with kept(path, refusal, where) as book:
        if len(book.lines) == 1 and isinstance(book.lines[0], dict) and set(book.lines[0]) == set(now):
            book.clear()
        if not book.lines:
            book.add(now)
        elif (first := book.lines[0]) != now:
            differing = next((name for name in {**now, **first} if first.get(name) != now.get(name)), "command")
            raise UserError(f"was begun with another {differing}", where=str(where or path), hint=hint)
        yield book


def ended_lines(path: Path) -> list[Any]:
    """For who only reads; none where there is no file."""
    return ended(path.read_bytes()) if path.exists() else []


def ended(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].split(b"\n") if line]
