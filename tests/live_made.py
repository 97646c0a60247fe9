"""Runs that go on as a test tells them to, with the files that the engine would have written by then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report_made import LANES, made_run, two_classes

from fewfit.engine.learner import LaneState, Track
from fewfit.engine.stream import Progress, steps
from fewfit.examples import Example
from fewfit.grid import Lane
from fewfit.live.server import Server
from fewfit.live.view import View
from fewfit.predictions import read
from fewfit.run import folders
from fewfit.run.snapshots import Store
from fewfit.run.watch import RunInfo

TOKEN = "a-token-that-nobody-guesses"


class Going:
    """A run that is put together from the end: what its lanes will have answered is known, and is told bit by bit."""

    def __init__(
        self, folder: Path, examples: Sequence[Example] | None = None, lanes: Sequence[Lane] = LANES, **more: Any
    ):
        examples = two_classes() if examples is None else examples
        made_run(folder, examples, lanes, **more)
        self.folder, self.n, self.lanes = folder, len(examples), tuple(lanes)
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in read(folder):
            self.rows[row["lane"]].append(row)
        self._last = {name: (folder / name).read_bytes() for name in (folders.PREDICTIONS, folders.RESULT)}
        for name in self._last:
            (folder / name).unlink()
        self.store = Store(folder / folders.LANES)
        self.tracks = {lane.name: Progress(Track(lane.name, 0), lane, list(steps(lane, self.n))) for lane in lanes}
        for progress in self.tracks.values():
            self.store.begin(progress)

    @property
    def info(self) -> RunInfo:
        record = folders.record(self.folder)
        totals = {name: len(progress.plan) for name, progress in self.tracks.items()}
        models = tuple(model["name"] for model in record["models"])
        return RunInfo(
            self.folder, record["data"]["source"], self.n, models, record["metric"], self.lanes, (0,), totals,
            majority=0.5,
        )  # fmt: skip

    def predict(self, upto: int, *names: str, snapshot: bool = True) -> None:
        """Every lane, or these."""
        for name in names or self.tracks:
            progress = self.tracks[name]
            for row in self.rows[name][progress.predicted : upto]:
                self.store.prediction(progress.track, row)
            progress.predicted = min(upto, len(self.rows[name]))
            progress.done = len([step for step in progress.plan if step.i <= progress.predicted])
            if progress.status == "running" and progress.done == len(progress.plan):
                progress.status = "done"
            if snapshot:
                self.store.snapshot(progress, LaneState)
            else:
                self.store.tracks[progress.track]._predictions._file.flush()

    def leave(self, name: str, at: int, status: str = "dropped") -> None:
        progress = self.tracks[name]
        progress.status, progress.left_at = status, at
        self.store.snapshot(progress, LaneState)

    def finish(self) -> None:
        """As the engine ends: the evidence, the result, and only then are the lanes' folders cleared away."""
        self.store.close()
        for name, content in self._last.items():
            (self.folder / name).write_bytes(content)

    def clear(self) -> None:
        import shutil

        shutil.rmtree(self.folder / folders.LANES)


@contextmanager
def served(view: View, port: int = 0) -> Iterator[Server]:
    server = Server(view, TOKEN, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
