"""The loop: predict, write down, train.

Each track (a lane under a seed) walks its own list of steps; nothing ties tracks together but the passes that they may
share. A prediction is in the shard before anything is trained on its example.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from fewfit.engine.learner import LaneState, Learner, Scored, Track
from fewfit.engine.task import Seen, Task
from fewfit.grid import Lane


class Step(NamedTuple):
    i: int  # the example, from 1
    update: int  # 0 where it only predicts
    predicts: bool


def steps(lane: Lane, n: int) -> Iterator[Step]:
    """All that one track does, in order. Where prompt and training prompt agree, update 1 shares its forward."""
    fused = lane.trains and lane.block == 1 and lane.batch == 1 and lane.shots_at_use == lane.shots
    for start in range(1, n + 1, lane.block):
        block = range(start, min(start + lane.block, n + 1))
        if not fused:
            yield from (Step(i, 0, True) for i in block)
        for i in block:
            for update in range(1, lane.updates + 1):
                yield Step(i, update, fused and update == 1)


def total_updates(lane: Lane, n: int) -> int:
    return n * lane.updates


class Sink(Protocol):
    """Where evidence and states go: the run folder, or memory."""

    def prediction(self, track: Track, row: dict[str, Any]) -> None: ...

    def trained(self, track: Track, row: dict[str, Any]) -> None: ...

    def snapshot(self, track: Track, done: int, status: str, state: Callable[[], LaneState]) -> None: ...


@dataclass
class Progress:
    """Where one track stands."""

    track: Track
    lane: Lane
    plan: list[Step]
    done: int = 0
    status: str = "running"  # then done, dropped or diverged
    predicted: int = 0
    scores: list[float] = field(default_factory=list)
    dirty: bool = False  # stepped since its last snapshot
    opened: bool = False

    @property
    def running(self) -> bool:
        return self.status == "running"

    def pending(self, most: int) -> list[Step]:
        """The steps that may be made now: one where it learns, any number where it only prompts."""
        return self.plan[self.done : self.done + (1 if self.lane.trains else most)]


Watcher = Callable[[Progress, dict[str, Any] | None], None]
Leave = Callable[[Sequence[Progress]], Iterable[Progress]]


class Stream:
    """Runs tracks to their end.

    `leave` is asked now and then which tracks are surely behind. `stop` is asked between steps; when it says so,
    everything is written and the loop returns. Snapshots come every `every` seconds, or more rarely where they are dear.
    """

    def __init__(
        self,
        task: Task,
        learner: Learner,
        sink: Sink,
        *,
        watch: Watcher = lambda progress, row: None,
        stop: Callable[[], bool] = lambda: False,
        leave: Leave | None = None,
        every: float = 5.0,
        width: int = 1,
        tokens: int = 2048,
    ):
        self.task, self.learner, self.sink = task, learner, sink
        self.watch, self.stop, self.leave, self.every = watch, stop, leave, every
        self.width, self.tokens = width, tokens
        self._last = time.monotonic()
        self._cost = 0.0

    def run(self, tracks: Sequence[Progress]) -> None:
        for progress in tracks:
            if progress.running and progress.done >= len(progress.plan):
                progress.status = "done"
        while not self.stop():
            chosen = self._next_pass([p for p in tracks if p.running])
            if not chosen:
                break
            self._make(chosen)
            for progress in {id(p): p for p, _ in chosen}.values():
                if progress.running and progress.done >= len(progress.plan):
                    progress.status = "done"
                if not progress.running:
                    self._end(progress)
            if self.leave is not None:
                for progress in self.leave(tracks):
                    progress.status = "dropped"
                    self._end(progress)
            if time.monotonic() - self._last > max(self.every, 20 * self._cost):
                self.save(tracks)
        self.save(tracks)

    def save(self, tracks: Sequence[Progress]) -> None:
        start = time.monotonic()
        for progress in tracks:
            if progress.dirty:
                self._snapshot(progress)
        self._last = time.monotonic()
        self._cost = self._last - start

    def _end(self, progress: Progress) -> None:
        self._snapshot(progress)  # its last state is on disk; the bundle is made from there
        if progress.opened:
            self.learner.forget(progress.track)
            progress.opened = False
        self.watch(progress, None)

    def _snapshot(self, progress: Progress) -> None:
        self.sink.snapshot(
            progress.track, progress.done, progress.status, lambda: self.learner.state(progress.track)
        )
        progress.dirty = False

    # ---- passes ------------------------------------------------------------------------------------------------------

    def _next_pass(self, running: list[Progress]) -> list[tuple[Progress, Step]]:
        """Which steps go together. Tracks that only prompt come first: their scores bound the race."""
        if not running:
            return []
        if self.width == 1:
            first = running[0]
            return [(first, step) for step in first.pending(1)]
        prompting = [p for p in running if not p.lane.trains]
        pool = [(p, step) for p in (prompting or running) for step in p.pending(self.width)]
        buckets: dict[int, list[tuple[Progress, Step]]] = {}
        for progress, step in pool:
            buckets.setdefault(self._length(progress, step), []).append((progress, step))
        # The fullest bucket; of equals the one whose tracks are furthest behind.
        length, best = max(
            buckets.items(), key=lambda item: (min(self._fit(item[0]), len(item[1])), -min(s.i for _, s in item[1]))
        )
        return best[: self._fit(length)]

    def _fit(self, length: int) -> int:
        return max(1, min(self.width, self.tokens // length))

    def _length(self, progress: Progress, step: Step) -> int:
        """Tokens, rounded up to a multiple of 16."""
        seen = self._seen(progress, step)
        return max(-(-len(s.row.ids) // 16) * 16 for s in seen)

    def _seen(self, progress: Progress, step: Step) -> list[Seen]:
        track, lane = progress.track, progress.lane
        if step.predicts:
            return [self.task.scored_row(track, lane, step.i, train=step.update == 1)]
        return self.task.trained_rows(track, lane, step.i, step.update)

    def _make(self, chosen: Sequence[tuple[Progress, Step]]) -> None:
        work = []
        for progress, step in chosen:
            if not progress.opened:
                self.learner.open(progress.track, progress.lane)
                progress.opened = True
            work.append((progress, step, self._seen(progress, step)))
        # One forward for all; what is only trained on rides along where anything is predicted.
        rows = [s.row for _, step, seen in work for s in seen]
        results: list[Scored | None] = [None] * len(rows)
        if any(step.predicts for _, step, _ in work):
            results = self.learner.predict(rows)
        flat = [(progress, step, s) for progress, step, seen in work for s in seen]
        self._write(flat, results)
        training = [s.row for progress, step, s in flat if step.update and progress.running]
        alive = dict(zip([row.track for row in training], self.learner.update(training), strict=True)) if training else {}
        for progress, step, seen in work:
            progress.dirty = True
            if not progress.running:
                continue  # diverged in this very forward: its row was not written, so the step was not made
            if step.update:
                self.sink.trained(progress.track, self.task.trained(seen))
                if not alive[progress.track]:
                    progress.status = "diverged"
            progress.done += 1

    def _write(self, flat: list[tuple[Progress, Step, Seen]], results: list[Scored | None]) -> None:
        told = [(p, s, r) for (p, step, s), r in zip(flat, results, strict=True) if step.predicts and r is not None]
        for progress, _, result in told:
            if not usable(result):
                progress.status = "diverged"
        told = [one for one in told if one[0].running]
        silent = [k for k, (_, s, r) in enumerate(told) if self.task.needs_text(s, r)]
        texts: dict[int, tuple[int, ...]] = {}
        if silent:
            most = self.task.renderer.settings.max_new_tokens
            new = self.learner.generate([told[k][1].row for k in silent], most)
            texts = dict(zip(silent, new, strict=True))
        for k, (progress, seen, result) in enumerate(told):
            row = self.task.prediction(seen, result, texts.get(k))
            row["model"] = progress.lane.model
            self.sink.prediction(progress.track, row)
            progress.predicted += 1
            progress.scores.append(row["score"])
            self.watch(progress, row)


def usable(result: Scored) -> bool:
    return math.isfinite(result.nll) and all(math.isfinite(value) for value in result.choices)
