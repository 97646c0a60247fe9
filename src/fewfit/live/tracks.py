"""The rows of a running run, as of each lane's last snapshot. What a shard holds beyond it is not yet sure: a run that
is killed computes it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fewfit.engine.learner import Track
from fewfit.predictions import LANES
from fewfit.run.snapshots import PREDICTIONS, STATE, track_name
from fewfit.run.watch import RunInfo


class TrackReader:
    """One track's folder. Shards only grow, so every row is read once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.done = 0
        self.status = "waiting"
        self.left_at: int | None = None
        self._rows: list[dict[str, Any]] = []
        self._length = 0

    def version(self) -> int:
        """Other than before where there is something to read."""
        try:
            return (self.folder / STATE).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def read(self) -> None:
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            with (self.folder / PREDICTIONS).open("rb") as file:
                file.seek(self._length)
                new = file.read(state["predictions"] - self._length)
        except FileNotFoundError:
            return  # it has not begun, or the run has just been put together
        self._rows += [slim(json.loads(line)) for line in new.split(b"\n") if line]
        self._length = state["predictions"]
        self.done, self.status, self.left_at = state["done"], state["status"], state["left_at"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Those that count, in the order of the stream."""
        last = self.left_at
        return sorted((row for row in self._rows if last is None or row["i"] <= last), key=lambda row: row["i"])


def slim(row: dict[str, Any]) -> dict[str, Any]:
    return {"i": row["i"], "score": row["score"]}


def readers(info: RunInfo) -> dict[tuple[str, int], TrackReader]:
    """By lane and seed."""
    return {
        (lane.name, seed): TrackReader(info.folder / LANES / track_name(Track(lane.name, seed)))
        for lane in info.lanes
        for seed in info.seeds
    }
