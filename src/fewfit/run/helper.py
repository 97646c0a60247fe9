"""The helper's side: a process that runs the tracks it is handed, and tells the main one what it wrote."""

from __future__ import annotations

import contextlib
import ctypes
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fewfit.engine.learner import Track
from fewfit.engine.stream import Progress, Stream, steps
from fewfit.files import hold
from fewfit.grid import Lane
from fewfit.run.executor import WORTH_HANDING, deal
from fewfit.run.snapshots import Store


def work(handle: int, number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process tells
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with_parent()
    connection = Connection(handle)
    import torch
    import transformers.modeling_utils  # noqa: F401  (the longest of all)

    from fewfit.models import library

    library.silent = True  # the main process says it

    from fewfit.engine.task import Task
    from fewfit.examples import restore
    from fewfit.metrics import metric
    from fewfit.models.local import load
    from fewfit.render import Renderer, RenderSettings
    from fewfit.run import inferences, sets
    from fewfit.run.teams import Team

    torch.set_num_threads(1)
    try:
        (job,) = connection.recv()
    except (EOFError, OSError):
        return  # nothing to do after all
    with (Path(job.lanes_folder) / f".helper-{number}.lock").open("w") as lock:
        hold(lock)
        loaded = load(job.model, revision=job.revision, device="cpu", dtype=job.dtype, digest=job.digest)
        renderer = Renderer(loaded.tokenizer, RenderSettings.from_json(job.render))
        judge = metric(job.metric, answer_patterns=job.answer_patterns)
        task = Task(restore(Path(job.examples)).examples, renderer, judge, order=job.order)
        sets.restore(Path(job.lanes_folder).parent, job.lane_model, task)
        inferences.restore(Path(job.lanes_folder).parent, job.lane_model, task)
        store = Store(Path(job.lanes_folder))
        learner = Team(job.stacked, ()).learner(loaded.model, renderer, len(task))
        if job.recompute:
            learner.enable_recompute()
        main = _Main(connection, store)
        stream = Stream(
            task,
            learner,
            store,
            watch=main.tell,
            stop=lambda: main.stopped,
            every=job.every,
            width=job.width,
            tokens=job.tokens,
            executor=main,
        )
        stream.run([])
        store.close()
        connection.close()


class _Main:
    """The main process, as a helper sees it: an `Executor` for the helper's stream."""

    def __init__(self, connection: Connection, store: Store):
        self.connection, self.store = connection, store
        self.stopped = False
        self._idle_said = False

    def tell(self, progress: Progress, row: dict[str, Any] | None) -> None:
        if row is None:
            self._send("end", progress.track)
        else:
            self._send("row", progress.track, row, progress.done)

    def poll(self, stream: Stream) -> None:
        while not self.stopped and self.connection.poll():
            self._hear(stream)

    def wait(self, stream: Stream) -> bool:
        if not self._idle_said and not self.stopped:
            self._idle_said = True
            self._send("idle")
        if not self.stopped and self.connection.poll(0.5):
            self._hear(stream)
        return not self.stopped

    def drop(self, progress: Progress) -> None:
        raise AssertionError("helpers run no race")

    def _hear(self, stream: Stream) -> None:
        try:
            what, *told = self.connection.recv()
        except (EOFError, OSError):
            self.stopped = True  # the main process is gone
            return
        if what == "stop":
            self.stopped = True
        elif what == "shrink":
            stream.shrink_passes()
        elif what == "take":
            self._idle_said = False
            for record, seed in told[0]:
                lane = Lane.from_json(record)
                progress = Progress(Track(lane.name, seed), lane, list(steps(lane, len(stream.task))))
                was = self.store.begin(progress)
                if was.state is not None:
                    stream.trainer.restore(progress.track, lane, was.state)
                    progress.opened = True
                stream.admit(progress)
        elif what == "drop":
            for progress in stream.tracks:
                if progress.track == told[0] and progress.running:
                    progress.status, progress.left_at = "dropped", told[1]
                    stream.end(progress)
        elif what == "give":
            running = sorted((p for p in stream.tracks if p.running), key=lambda p: p.left, reverse=True)
            share = deal([p for p in running if p.left > WORTH_HANDING], 2)
            for progress in share:
                stream.hand_over(progress)
                self.store.release(progress.track)
                progress.elsewhere = True
            self._send("back", [p.track for p in share])

    def _send(self, *what: Any) -> None:
        try:
            self.connection.send(what)
        except (BrokenPipeError, OSError):
            self.stopped = True


def die_with_parent() -> None:
    """Linux: killed the moment the main process dies, however it dies. Elsewhere the closed pipe tells."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
