"""The sessions of a run, as run.json tells them: each begins with a word there and ends with one.

A session without its last word died: by `kill -9`, with the machine, or, most likely, because the system kills whoever
takes too much memory and says nothing. The next one halves its passes, which changes no number in fp32 (in bf16 none
beyond rounding). On documents an update is one pass, so layers are run again instead (documents.py).
"""

from __future__ import annotations

import calendar
import time
from pathlib import Path
from typing import Any

from fewfit.run import folders
from fewfit.run.snapshots import last_written

DIED, MEMORY = None, "memory"  # how a session ended, where its passes were too large
MOST = 16  # halvings: by then a pass is a single row
CLOCK = "%Y-%m-%dT%H:%M:%SZ"


class Journal:
    """One session's part of it. `halved`: how often passes have been halved by sessions before."""

    def __init__(self, folder: Path, record: dict[str, Any]):
        self.folder, self.record = folder, record
        self.past: list[dict[str, Any]] = list(record.get("sittings", ()))
        self.died = bool(self.past) and self.past[-1]["ended"] in (DIED, MEMORY)
        self.halved = min(MOST, (self.past[-1]["halved"] if self.past else 0) + self.died)
        self._started = time.monotonic()
        self._before = self._seconds_before()
        self._now: dict[str, Any] = {
            "began": time.strftime(CLOCK, time.gmtime()),
            "before": round(self._before, 3),  # seconds of all sessions until then
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
        how = f"passes are {times} as large"
        if self.record.get("documents"):
            how = "layers are run again in the backward"
        elif self.record.get("asked", {}).get("base_url", {}).get("value"):
            return [f"the last session {why}"]  # what is taken in is the endpoint's
        return [f"the last session {why}: {how} from here on, which changes no number in float32"]

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
        return self._before + time.monotonic() - self._started

    def _seconds_before(self) -> float:
        """A session that died wrote its seconds when it last told something; its snapshots say how long it went on."""
        told = float(self.record.get("seconds", 0.0))
        if not self.past or self.past[-1]["ended"] is not DIED or "before" not in self.past[-1]:
            return told
        began = calendar.timegm(time.strptime(self.past[-1]["began"], CLOCK))
        return max(told, self.past[-1]["before"] + last_written(self.folder / folders.LANES) - began)

    def _write(self) -> None:
        sessions = [*self.past, self._now]
        folders.write_record(self.folder, {**self.record, "seconds": round(self.seconds(), 3), "sittings": sessions})


def halvings(folder: Path) -> int:
    """How often passes have been halved until now."""
    sessions = folders.record(folder).get("sittings", ())
    return int(sessions[-1]["halved"]) if sessions else 0
