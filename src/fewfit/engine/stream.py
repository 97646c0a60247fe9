"""The loop: predict, write down, train.

Each track (a lane under a seed) walks its own list of steps; nothing ties tracks together but the passes that they may
share. A prediction is in the shard before anything is trained on its example.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from fewfit.engine import memory
from fewfit.engine.learner import LaneState, Learner, Prompter, Row, Scored, Track
from fewfit.engine.places import bucket
from fewfit.engine.task import Seen, Task
from fewfit.grid import Lane
from fewfit.stats.race import Race

STEP = 4  # items: one row of a few tokens takes as long as the weights take to be read


class Step(NamedTuple):
    i: int  # the example, from 1
    update: int  # 0 where it only predicts
    predicts: bool


def steps(lane: Lane, n: int) -> Iterator[Step]:
    """All that one track does, in order. Where prompt and training prompt agree, update 1 shares its forward."""
    same = lane.shots_at_use == lane.shots and not lane.is_fixed
    fused = lane.trains and lane.block == 1 and lane.batch == 1 and same
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

    def snapshot(self, progress: Progress, state: Callable[[], LaneState]) -> None: ...


@dataclass
class Progress:
    """Where one track stands."""

    track: Track
    lane: Lane
    plan: list[Step]
    done: int = 0
    status: str = "running"  # then done, dropped or diverged
    predicted: int = 0
    left_at: int | None = None  # the example at which it was dropped: later rows do not count
    dirty: bool = False  # stepped since its last snapshot
    opened: bool = False
    elsewhere: bool = False  # another process runs it

    @property
    def running(self) -> bool:
        """To be run here."""
        return self.status == "running" and not self.elsewhere

    @property
    def left(self) -> int:
        """What is still to be done, in items of a prompt: k shots are k + 1, and a step costs about STEP by itself."""
        return (len(self.plan) - self.done) * (self.lane.shots + 1 + STEP)

    def pending(self, most: int) -> list[Step]:
        """The steps that may be made now: one where it learns, any number where it only prompts."""
        return self.plan[self.done : self.done + (1 if self.lane.trains else most)]


class Ready(NamedTuple):
    """A step that may be made now, with its rows."""

    progress: Progress
    step: Step
    seen: list[Seen]
    length: int  # tokens of its longest row, rounded up
    tokens: int  # of all its rows


Watcher = Callable[[Progress, dict[str, Any] | None], None]


class Executor(Protocol):
    """Processes beside this one that run tracks of the same field."""

    def poll(self, stream: Stream) -> None:
        """Between passes: what they said, what is to be handed over."""

    def wait(self, stream: Stream) -> bool:
        """Nothing is left to do here: until something is said. False where nothing is to be waited for."""

    def drop(self, progress: Progress) -> None:
        """A track of theirs has left the race."""


class Stream:
    """Runs tracks to their end.

    `race` is asked after every pass which lanes are surely behind. `stop` is asked between steps; when it says so,
    everything is written and the loop returns. Snapshots come every `every` seconds, more rarely where they are dear.
    `on_shrink` hears of how many tokens passes are from then on, where larger ones did not fit the memory. Rows share a
    pass whose lengths are `rounded` to the same.
    """

    def __init__(
        self,
        task: Task,
        learner: Prompter,  # a Learner where any track trains
        sink: Sink,
        *,
        watch: Watcher = lambda progress, row: None,
        stop: Callable[[], bool] = lambda: False,
        race: Race | None = None,
        every: float = 5.0,
        width: int = 1,
        tokens: int = 2048,
        executor: Executor | None = None,
        on_shrink: Callable[[int], None] = lambda tokens: None,
        rounded: Callable[[int], int] = bucket,
    ):
        self.task, self.learner, self.sink = task, learner, sink
        self.watch, self.stop, self.race, self.every = watch, stop, race, every
        self.width, self.tokens, self.executor, self.on_shrink = width, tokens, executor, on_shrink
        self.rounded = rounded
        self.tracks: list[Progress] = []
        self._waiting: dict[tuple[Track, Step], Ready] = {}
        self._last = time.monotonic()
        self._cost = 0.0

    @property
    def trainer(self) -> Learner:
        """Nothing asks for it but tracks that train, and those are never given to one that only prompts."""
        return cast(Learner, self.learner)

    def run(self, tracks: Sequence[Progress]) -> None:
        self.tracks = []
        for progress in tracks:
            self.admit(progress)
        if self.race is not None:  # rows that came just before the run was killed may not have been looked at
            self._drop(self.race, tracks)
        while not self.stop():
            if self.executor is not None:
                self.executor.poll(self)
            chosen = self._next_pass([p for p in self.tracks if p.running])
            if not chosen and (self.executor is None or not self.executor.wait(self)):
                break
            self._make(chosen)
            for progress in {id(ready.progress): ready.progress for ready in chosen}.values():
                if progress.running and progress.done >= len(progress.plan):
                    progress.status = "done"
                if not progress.running:
                    self.end(progress)
            if self.race is not None:
                self._drop(self.race, tracks)
            if time.monotonic() - self._last > max(self.every, 20 * self._cost):
                self.save()
        self.save()

    def admit(self, progress: Progress) -> None:
        """A lane that only prompts owes nothing to the order: rows of one length go together, as they do in any run."""
        if progress.running and not progress.lane.trains:
            progress.plan = sorted(progress.plan, key=lambda step: (self._ready(progress, step).length, step.i))
        if progress.running and progress.done >= len(progress.plan):
            progress.status = "done"
        self.tracks = [p for p in self.tracks if p.track != progress.track] + [progress]

    def shrink_passes(self, tokens: int = 0) -> None:
        """Smaller passes from now on: of so many tokens at the most, or half as large as they were."""
        self.tokens = min(self.tokens, tokens) if tokens else max(1, self.tokens // 2)
        self.on_shrink(self.tokens)

    def hand_over(self, progress: Progress) -> None:
        """Its state goes to disk, from where another process takes it."""
        self._snapshot(progress)
        if progress.opened:
            self.trainer.forget(progress.track)
            progress.opened = False
        for key in [key for key in self._waiting if key[0] == progress.track]:
            del self._waiting[key]

    def _drop(self, race: Race, tracks: Sequence[Progress]) -> None:
        out: dict[str, int] = {}
        for progress in tracks:
            if progress.status == "diverged":
                # A lane that only prompts goes by length, so its rows up to some example are not all there.
                upto = progress.predicted if progress.lane.trains else 0
                out[progress.track.lane] = min(upto, out.get(progress.track.lane, upto))
        for lane, i in race.leaving(out).items():
            for progress in tracks:
                if progress.track.lane == lane and progress.status in ("running", "done"):
                    progress.left_at = i
                    if progress.elsewhere and self.executor is not None:
                        self.executor.drop(progress)  # it is dropped when they say that it has ended
                        continue
                    progress.status = "dropped"
                    self.end(progress)

    def save(self) -> None:
        start = time.monotonic()
        for progress in self.tracks:
            if progress.dirty and not progress.elsewhere:
                self._snapshot(progress)
        self._last = time.monotonic()
        self._cost = self._last - start

    def end(self, progress: Progress) -> None:
        self._snapshot(progress)  # its last state is on disk; the bundle is made from there
        if progress.opened:
            self.trainer.forget(progress.track)
            progress.opened = False
        self.watch(progress, None)

    def _snapshot(self, progress: Progress) -> None:
        def state() -> LaneState:
            return self.trainer.state(progress.track) if progress.opened else LaneState()

        self.sink.snapshot(progress, state)
        progress.dirty = False

    # ---- passes ------------------------------------------------------------------------------------------------------

    def _next_pass(self, running: list[Progress]) -> list[Ready]:
        """Which steps of one length go together, the furthest behind first, so that lanes stay comparable.

        Tracks that only prompt come before all: they are done in seconds and bound the race.
        """
        if not running:
            return []
        if self.width == 1:
            return [self._ready(running[0], running[0].pending(1)[0])]
        pool = [p for p in running if not p.lane.trains] or running
        pool = sorted(pool, key=lambda p: (p.plan[p.done].i, p.done))
        first = self._ready(pool[0], pool[0].pending(1)[0])
        chosen: list[Ready] = []
        tokens = 0
        for progress in pool:
            for step in progress.pending(max(1, min(self.width, self.tokens // first.length))):
                ready = self._ready(progress, step)
                if ready.length != first.length:
                    break
                if chosen and tokens + ready.tokens > self.tokens:
                    return chosen
                chosen.append(ready)
                tokens += ready.tokens
                if len(chosen) == self.width:
                    return chosen
        return chosen

    def _ready(self, progress: Progress, step: Step) -> Ready:
        """The rows of a step, made once however often the step is considered."""
        key = (progress.track, step)
        if key not in self._waiting:
            track, lane = progress.track, progress.lane
            if step.predicts:
                seen = self.task.scored_rows(track, lane, step.i, train=step.update == 1)
            else:
                seen = self.task.trained_rows(track, lane, step.i, step.update)
            lengths = [self.rounded(len(s.row.ids)) for s in seen]
            tokens = len(lengths) * max(lengths)
            self._waiting[key] = Ready(progress, step, seen, max(lengths), tokens)
        return self._waiting[key]

    def _make(self, chosen: Sequence[Ready]) -> None:
        if not chosen:
            return
        for ready in chosen:
            self._waiting.pop((ready.progress.track, ready.step), None)
            if ready.progress.lane.trains and not ready.progress.opened:
                self.trainer.open(ready.progress.track, ready.progress.lane)
                ready.progress.opened = True
        # One forward for all; what is only trained on rides along where anything is predicted.
        rows = [s.row for ready in chosen for s in ready.seen]
        results: list[Scored | None] = [None] * len(rows)
        if any(ready.step.predicts for ready in chosen):
            results = self._in_parts(self.learner.score, rows)
        flat = [(ready.progress, ready.step, s) for ready in chosen for s in ready.seen]
        self._write(flat, results)
        training = [s.row for progress, step, s in flat if step.update and progress.running and s.row.loss]
        went = self._in_parts(self.trainer.update, training, tracks_whole=True) if training else []
        alive = dict(zip([row.track for row in training], went, strict=True))
        for progress, step, seen, *_ in chosen:
            progress.dirty = True
            if not progress.running:
                continue  # diverged in this very forward: its row was not written, so the step was not made
            if step.update:
                row = self.task.trained(seen[:1] if step.predicts else seen)
                self.sink.trained(progress.track, row | {"model": progress.lane.model})
                if not alive[progress.track]:
                    progress.status = "diverged"
            progress.done += 1

    def _in_parts(self, call: Callable[[Sequence[Row]], Sequence[Any]], rows: Sequence[Row], **how: Any) -> list[Any]:
        return memory.in_parts(call, rows, self.learner, self._smaller, **how)

    def _smaller(self, rows: Sequence[Row]) -> None:
        """Passes from now on are no larger than these rows: more did not fit the memory."""
        self.shrink_passes(sum(bucket(len(row.ids)) for row in rows))

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
            # What greedy decoding begins with is known from scoring, up to its first departure from the answer.
            begun = {id(told[k][1].row): told[k][2].argmax for k in silent}
            new = self._in_parts(
                lambda rows: self.learner.generate(rows, most, [begun[id(row)] for row in rows]),
                [told[k][1].row for k in silent],
            )
            texts = dict(zip(silent, new, strict=True))
        made = [self.task.prediction(seen, result, texts.get(k)) for k, (_, seen, result) in enumerate(told)]
        of_step = {(p.track, seen.i): (p, seen) for p, seen, _ in told}
        for key, (progress, seen) in of_step.items():
            mine = [row for row, (p, one, _) in zip(made, told, strict=True) if (p.track, one.i) == key]
            row = self.task.averaged(mine, seen.example)
            row["model"] = progress.lane.model
            self.sink.prediction(progress.track, row)
            if self.race is not None:
                self.race.tell(row)
            progress.predicted += 1
            self.watch(progress, row)


def usable(result: Scored) -> bool:
    return (result.nll is None or math.isfinite(result.nll)) and all(math.isfinite(value) for value in result.choices)
