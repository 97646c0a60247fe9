"""Every score that was ever given: a file of a line for each set and block of questions, on the disk before it is used.

So nothing is asked twice: not when a killed search begins again, and not by another strategy over the same questions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from fewfit.errors import UserError
from fewfit.files import hold, one_line, sync_folder
from fewfit.search.pool import Added

Kind = Literal["score", "likelihood"]
Key = tuple[Kind, Added, str, int]  # of one question; the last is the repeat


class Ledger:
    """Without a file it remembers as long as it lives."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file
        self._known: dict[Key, float] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def __getitem__(self, key: Key) -> float:
        return self._known[key]

    def take(self, line: Mapping[str, Any]) -> None:
        added = tuple(line["added"])
        for question, value in zip(line["questions"], line["values"], strict=True):
            self._known[line["kind"], added, question, line["repeat"]] = value

    def add(self, kind: Kind, added: Added, questions: Sequence[str], repeat: int, values: Sequence[float]) -> None:
        line = {
            "kind": kind,
            "added": list(added),
            "repeat": repeat,
            "questions": list(questions),
            "values": list(values),
        }
        if self._file is not None:
            write_through(self._file, line)
        self.take(line)


@contextmanager
def opened(path: Path, asked: Mapping[str, Any]) -> Iterator[Ledger]:
    """`asked` is what scores depend on: data, model, judge. A file that was begun with another is refused."""
    with path.open("a+", encoding="utf-8", newline="") as file:
        try:
            hold(file)
        except OSError:
            raise UserError("another process writes it", where=str(path), hint="wait for it") from None
        lines = read(path)
        now = json.loads(one_line(asked))
        ledger = Ledger(file)
        if not lines:
            write_through(file, now)
            sync_folder(path.parent.absolute())
        elif lines[0] != now:
            differing = next((name for name in {**now, **lines[0]} if lines[0].get(name) != now.get(name)), "command")
            raise UserError(f"was begun with another {differing}", where=str(path), hint="name another --out")
        for line in lines[1:]:
            ledger.take(line)
        yield ledger


def read(path: Path) -> list[dict[str, Any]]:
    """Half a line, which a process was writing when it died, is cut off."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    try:
        return [json.loads(line) for line in whole.split(b"\n") if line]
    except ValueError:
        raise UserError("is no ledger of fewfit select-demos", where=str(path), hint="delete it") from None


def write_through(file: IO[str], line: Mapping[str, Any]) -> None:
    file.write(one_line(line) + "\n")
    file.flush()
    os.fsync(file.fileno())
