"""Stop and resume: a track's shards and its last state, so that a killed run goes on where it was.

Order of durability: the shards are fsynced, then the state is written, then one small file that names the state and the
shards' lengths is renamed into place. What lies in a shard beyond those lengths was written after the snapshot: it is
cut, computed again, and must come out the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fewfit.engine.learner import LaneState, Track
from fewfit.engine.stream import Progress
from fewfit.files import publish, write_json
from fewfit.predictions import Shard, dumps

PREDICTIONS, TRAINED, STATE = "predictions.jsonl", "trained.jsonl", "state.json"


@dataclass(frozen=True)
class Resumed:
    """What a track's folder holds."""

    done: int
    status: str
    state: LaneState | None
    left_at: int | None
    rows: tuple[dict[str, Any], ...]


class TrackFolder:
    """One track's evidence and state on disk. The only writer of its shards, while it is not lent to another process:
    what is `known` from before then is what that one's rows are compared with."""

    def __init__(self, folder: Path, known: TrackFolder | None = None):
        self.folder = folder
        self._expected: dict[int, str] = {} if known is None else known._expected
        # Rows that came out differently when computed again
        self.differing: list[int] = [] if known is None else known.differing

    def open(self) -> Resumed:
        self.folder.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"done": 0, "status": "running", "predictions": 0, "trained": 0, "weights": None}
        if (self.folder / STATE).exists():
            record = json.loads((self.folder / STATE).read_text())
        self._expect_again(record["predictions"])
        self._predictions = Shard(self.folder / PREDICTIONS, length=record["predictions"])
        self._trained = Shard(self.folder / TRAINED, length=record["trained"])
        state = self._state(record)
        lines = [line.decode() for line in (self.folder / PREDICTIONS).read_bytes().split(b"\n") if line]
        rows = tuple(map(json.loads, lines))
        for row, line in zip(rows, lines, strict=True):  # another process may have computed them again
            self._compare(row["i"], line)
        return Resumed(record["done"], record["status"], state, record.get("left_at"), rows)

    def state(self) -> LaneState | None:
        """As of the last snapshot."""
        return self._state(json.loads((self.folder / STATE).read_text()))

    def _state(self, record: dict[str, Any]) -> LaneState | None:
        if not record["weights"]:
            return None
        from safetensors.torch import load_file

        return LaneState(load_file(str(self.folder / record["weights"])), record["steps"], record["diverged"])

    def _expect_again(self, length: int) -> None:
        """Whole rows beyond the snapshot: kept in mind, to be compared with what is computed again."""
        path = self.folder / PREDICTIONS
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(length)
            tail = file.read()
        for line in tail.split(b"\n")[:-1]:
            try:
                self._expected.setdefault(json.loads(line)["i"], line.decode())
            except (ValueError, KeyError, TypeError):
                continue

    def _compare(self, i: int, line: str) -> None:
        if self._expected.pop(i, line) != line:
            self.differing.append(i)

    def prediction(self, row: dict[str, Any]) -> None:
        if row["i"] in self._expected:
            self._compare(row["i"], dumps(row))
        self._predictions.append(row)

    def trained(self, row: dict[str, Any]) -> None:
        self._trained.append(row)

    def snapshot(self, done: int, status: str, left_at: int | None, state: LaneState) -> None:
        lengths = {"predictions": self._predictions.sync(), "trained": self._trained.sync()}
        weights = None
        if state.tensors:
            from safetensors.torch import save

            weights = f"state-{done}.safetensors"
            tensors = {name: tensor.contiguous() for name, tensor in state.tensors.items()}
            publish(self.folder / weights, save(tensors))
        record = {
            "done": done,
            "status": status,
            "left_at": left_at,
            "weights": weights,
            "steps": state.steps,
            "diverged": state.diverged,
            "written": round(time.time(), 3),
        }
        write_json(self.folder / STATE, {**record, **lengths})
        for old in self.folder.glob("state-*.safetensors"):
            if old.name != weights:
                old.unlink()

    def close(self) -> None:
        self._predictions.close()
        self._trained.close()


class Store:
    """The `lanes/` folder of a run: one folder a track. The stream's sink."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tracks: dict[Track, TrackFolder] = {}

    def open(self, track: Track) -> Resumed:
        self.tracks[track] = TrackFolder(self.folder / track_name(track), self.tracks.get(track))
        return self.tracks[track].open()

    def release(self, track: Track) -> None:
        """Another process writes this track from now on."""
        self.tracks[track].close()

    def prediction(self, track: Track, row: dict[str, Any]) -> None:
        self.tracks[track].prediction(row)

    def trained(self, track: Track, row: dict[str, Any]) -> None:
        self.tracks[track].trained(row)

    def snapshot(self, progress: Progress, state: Callable[[], LaneState]) -> None:
        folder = self.tracks[progress.track]
        folder.snapshot(progress.done, progress.status, progress.left_at, state())

    def begin(self, progress: Progress) -> Resumed:
        """Opens the track's folder and puts the progress where it stands."""
        was = self.open(progress.track)
        progress.done, progress.status, progress.left_at = was.done, was.status, was.left_at
        progress.predicted = len(was.rows)
        return was

    def shards(self, name: str) -> list[Path]:
        return [one.folder / name for one in self.tracks.values()]

    def differing(self) -> list[str]:
        return [f"{track.lane} seed {track.seed} row {i}" for track, one in self.tracks.items() for i in one.differing]

    def close(self) -> None:
        for one in self.tracks.values():
            one.close()


def last_written(folder: Path) -> float:
    """When the last snapshot of any track in a `lanes/` folder was made, by the clock on the wall; 0 where there is
    none that says so."""
    found = [json.loads(path.read_text()).get("written", 0.0) for path in folder.glob(f"*/{STATE}")]
    return max(found, default=0.0)


def track_name(track: Track) -> str:
    """A folder name: lane names may hold a model's slash."""
    return f"{quote(track.lane, safe='+@.')}.s{track.seed}"
