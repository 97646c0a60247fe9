"""Rows of finished cells in a file: kept as they come, never made again."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.files import hold, one_line, publish
from fewfit.kept import ended

ROWS, LOCK = "rows.jsonl", ".lock"


class Results:
    """Rows in a file, told apart by all that makes them what they are (`key`). Of a cell that was being written when
    the process died nothing is kept: a row says how many belong together (`splits`). What stands there twice, as where
    files of two machines were joined, counts once. `later` are parts of the key that stand only in rows where they are
    not as usual."""

    def __init__(self, path: Path, key: Sequence[str], later: Sequence[str] = ()) -> None:
        self.path, self._key = path, (*key, *later)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        try:
            lines = list({one_line(row): row for row in ended(content)}.values())
        except ValueError:
            raise UserError("a line is no JSON", where=str(path), hint="mend it, or name another --out") from None
        if any(name not in row for row in lines for name in (*key, "splits")):
            raise UserError("rows of another suite", where=str(path), hint="name another --out")
        count = Counter(self.key(row) for row in lines)
        self.rows = [row for row in lines if count[self.key(row)] >= row["splits"]]
        if content != (whole := written(self.rows).encode()):
            publish(path, whole)

    def key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(name) for name in self._key)

    def of(self, key: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [row for row in self.rows if self.key(row) == self.key(key)]

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        with self.path.open("a") as file:
            file.write(written(rows))
            file.flush()
            os.fsync(file.fileno())
        self.rows += rows


def written(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(one_line(dict(row)) + "\n" for row in rows)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else works there meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            hold(file)
        except OSError:
            hint = "wait for it, or name another --out"
            raise UserError("another process works there", where=str(folder), hint=hint) from None
        yield


def machine() -> str:
    """What it ran on, for whoever compares seconds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores"
