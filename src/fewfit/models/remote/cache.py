"""Answers kept on this machine, so that nothing is paid for twice.

    <cache>/answers.sqlite     key of the whole request -> the answer as JSON

Each answer is written when it arrives: a process that is killed loses none that was there. Several processes may read
and write at once. No key of access is in it, and no prompt: the request is kept as its hash alone.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fewfit.errors import EnvironmentProblem
from fewfit.files import cache_folder, one_line
from fewfit.models.remote.exchange import Completion

FILE = "answers.sqlite"
CODE = "cache"
PATIENCE = 30.0  # seconds to wait for another process that writes
TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, url TEXT NOT NULL, model TEXT NOT NULL, answer TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Kept:
    """How much of one model's is there."""

    url: str
    model: str
    answers: int
    tokens: int


class Answers:
    """The cache's file. One connection for all threads of this process, one at a time."""

    def __init__(self, path: Path | None = None):
        self.path = path or answers_path()
        self._lock = threading.Lock()
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Its owner's alone, also the files that sqlite puts beside it, which take over its mode.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._file = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not wait for each other
            self._file.execute("PRAGMA synchronous=NORMAL")  # of what was written, only a crash of the machine loses
            self._file.execute(TABLE)

    def get(self, key: str) -> Completion | None:
        with self._lock, self._told():
            row = self._file.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else Completion.from_json(json.loads(row[0]))

    def put(self, key: str, url: str, model: str, completion: Completion) -> None:
        row = (key, url, model, one_line(completion.as_json()))
        with self._lock, self._told():
            self._file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)

    def kept(self) -> list[Kept]:
        tokens = "json_extract(answer, '$.prompt_tokens') + json_extract(answer, '$.completion_tokens')"
        with self._lock, self._told():
            rows = self._file.execute(
                f"SELECT url, model, count(*), sum({tokens}) FROM answers GROUP BY url, model ORDER BY url, model"
            ).fetchall()
        return [Kept(*row) for row in rows]

    def clear(self) -> None:
        """The rows, not the file: another process may have it open."""
        with self._lock, self._told():
            self._file.execute("DELETE FROM answers")
            self._file.execute("VACUUM")
            self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def size(self) -> int:
        """Bytes on disk."""
        return sum(at.stat().st_size for at in self.path.parent.glob(f"{self.path.name}*") if at.is_file())

    def close(self) -> None:
        with self._lock:
            self._file.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EnvironmentProblem(
                f"the cache of answers cannot be used: {error}",
                where=str(self.path),
                hint="free some disk, set FEWFIT_CACHE to a folder elsewhere, or delete the file",
                code=CODE,
            ) from error


def answers_path() -> Path:
    return cache_folder() / FILE
