"""The sessions of a run, as run.json tells them: each begins with a word there and ends with one.

A session without its last word died: by `kill -9`, with the machine, or, most likely, because the system kills whoever
takes too much memory and says nothing. The next one halves its passes, which changes no number in fp32 (in bf16 none
beyond rounding).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fewfit.run import folders

DIED, MEMORY = None, "memory"  # how a session ended, where its passes were too large
MOST = 16  # halvings: by then a pass is a single row


class Journal:
    """One session's part of it. `halved`: how often passes have been halved by sessions before."""

    def __init__(self, folder: Path, record: dict[str, Any]):
        self.folder, self.record = folder, record
        self.past: list[dict[str, Any]] = list(record.get("sittings", ()))
        self.died = bool(self.past) and self.past[-1]["ended"] in (DIED, MEMORY)
        self.halved = min(MOST, (self.past[-1]["halved"] if self.past else 0) + self.died)
        self._started = time.monotonic()
        self._now: dict[str, Any] = {
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "halved": self.halved,
            "told": [],
            "ended": DIED,
        }

    @property
    def notices(self) -> list[str]:
        """For the user, at the start."""
        if not self.died:
            return []
        why = (
            "ran out of memory"
            if self.past[-1]["ended"] == MEMORY
            else "ended without a word (out of memory, or kill -9)"
        )
        times = "half" if self.halved == 1 else f"1/{2**self.halved}"
        return [f"the last session {why}: passes are {times} as large from here on, which changes no number in float32"]

    def begin(self) -> None:
        self._write()

    def tell(self, what: str) -> None:
        """Something that the next session, or who looks for what went wrong, may want to know."""
        self._now["told"].append(what)
        self._write()

    def end(self, how: str) -> None:
        self._now["ended"] = how
        self._write()

    def seconds(self) -> float:
        """Of all sessions together."""
        return float(self.record.get("seconds", 0.0)) + time.monotonic() - self._started

    def _write(self) -> None:
        sessions = [*self.past, self._now]
        folders.write_record(self.folder, {**self.record, "seconds": round(self.seconds(), 3), "sittings": sessions})
