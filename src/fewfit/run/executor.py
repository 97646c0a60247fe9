"""A second process (and third …) beside the main one: on a CPU one single-threaded process a core is the fastest way.

The main process starts to work at once. Helpers are started before it where very much is ahead, or after a moment where
a good deal is left, and get tracks handed over: the track's state goes to disk, the helper takes it from there and
becomes the only writer of its shards. Rows come back as messages, for the race and the live table; the evidence itself
is in the shards. A helper that has run out asks for more, and when the main process has run out it asks helpers. A
helper that dies loses nothing but seconds: its tracks are taken back from their last snapshots.

What a worker on another machine would need: the job (which names a model and files by where they lie: they must be
reachable under those names, or be copied), a connection that carries pickled tuples, and the track's folder. That
folder is all that a track is: its shards, whose rows any number of workers may have written in turn and which are
merged in canonical order on reading, and one record of its state, by parameter names and in plain tensors on the CPU.
Neither holds a path, a process, a device or a generator's state.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Pipe, wait
from pathlib import Path
from typing import Any

from fewfit.engine.learner import Track
from fewfit.engine.stream import Progress, Stream
from fewfit.errors import EnvironmentProblem
from fewfit.files import hold
from fewfit.run.snapshots import Store

LOOK_AFTER = 0.7  # seconds of work, before it is judged how much is left
WORTH_STARTING = 6.0  # seconds of work left: a helper needs some four to begin
SURELY_WORTH = 5e11  # multiplications and additions ahead: some seven to ten seconds
WORTH_HANDING = 40  # sequences left of a track: below it the hand-over costs more
UNEVEN = 1.15  # a hand may have so much more than its share, before lanes that share passes are parted


@dataclass(frozen=True)
class Job:
    """All that a helper needs to build the same task: plain data, no objects."""

    lanes_folder: str
    lane_model: str | None  # as lanes name it
    examples: str
    model: str
    revision: str | None
    digest: str
    dtype: str
    render: dict[str, Any]
    metric: str
    answer_patterns: tuple[str, ...]
    order: str
    every: float
    width: int
    tokens: int
    stacked: bool
    recompute: bool


class LocalExecutor:
    """The main process's side: an `Executor` for its stream."""

    def __init__(self, job: Job, store: Store, most: int, early: Sequence[Helper] = ()):
        self.job, self.store, self.most = job, store, most
        self._helpers = list(early[:most])
        for helper in early[:most]:
            helper.begin(job)
        for helper in early[most:]:
            helper.dismiss()
        if self._helpers:
            self.most = 0
        self._begun = time.monotonic()
        self._at_first: int | None = None

    # ---- as the stream sees it ---------------------------------------------------------------------------------------

    def poll(self, stream: Stream) -> None:
        if not self._helpers:
            self._consider(stream)
        for helper in list(self._helpers):
            while helper.said():
                self._hear(helper, stream)

    def wait(self, stream: Stream) -> bool:
        busy = [helper for helper in self._helpers if helper.tracks]
        if not busy:
            return False
        for helper in busy:
            helper.ask_back()
        wait([helper.connection for helper in busy], timeout=0.5)
        return True

    def drop(self, progress: Progress) -> None:
        for helper in self._helpers:
            if progress.track in helper.tracks:
                helper.say("drop", progress.track, progress.left_at)

    def stop(self, stream: Stream) -> None:
        """They snapshot and end; what they say until then is heard. One that has nothing is not waited for."""
        for helper in [one for one in self._helpers if not one.tracks]:
            helper.dismiss()
            self._helpers.remove(helper)
        for helper in self._helpers:
            helper.say("stop")
        for helper in self._helpers:
            deadline = time.monotonic() + 60
            while helper in self._helpers and time.monotonic() < deadline:
                if helper.connection.poll(0.05):
                    self._hear(helper, stream)  # an end of the line takes it off the list
            helper.process.kill()
            helper.process.wait()
        self._helpers.clear()

    # ---- within ------------------------------------------------------------------------------------------------------

    def _consider(self, stream: Stream) -> None:
        """After a moment and from then on, until they are started: is enough left to be worth other processes?

        Prompting comes first and is quick, so what is left may look like less than it is.
        """
        if self.most < 1:
            return
        left = sum(p.left for p in stream.tracks if p.running)
        if self._at_first is None:
            self._at_first, self._begun = left, time.monotonic()
        spent = time.monotonic() - self._begun
        if spent < LOOK_AFTER or left >= self._at_first:
            return
        if spent * left / (self._at_first - left) > WORTH_STARTING:
            able = sum(p.running and p.left > WORTH_HANDING for p in stream.tracks)
            self._helpers = [Helper(number) for number in range(min(self.most, able - 1))]
            for helper in self._helpers:
                helper.begin(self.job)
            self.most = 0

    def _hear(self, helper: Helper, stream: Stream) -> None:
        by_track = {p.track: p for p in stream.tracks}
        try:
            what, *told = helper.connection.recv()
        except (EOFError, OSError):
            self._lost(helper, stream)
            return
        if what == "idle":
            self._hand(helper, stream)
        elif what == "row":
            track, row, done = told
            progress = by_track[track]
            progress.done, progress.predicted = done, progress.predicted + 1
            if stream.race is not None:
                stream.race.tell(row)
            stream.watch(progress, row)
        elif what == "end":
            track, progress = told[0], by_track[told[0]]
            progress.elsewhere = False
            helper.tracks.discard(track)
            self.store.begin(progress)  # ours to read again; it says where the track stands
            left = stream.race.left.get(track.lane) if stream.race is not None else None
            if left is not None and progress.status == "done":  # it was at its last steps when it left the race
                progress.status, progress.left_at = "dropped", left
            stream.watch(progress, None)
        elif what == "back":
            helper.asked = not told[0]  # where it had nothing to give it will have nothing later
            for track in told[0]:
                helper.tracks.discard(track)
                self._take_back(by_track[track], stream)

    def _hand(self, helper: Helper, stream: Stream) -> None:
        """The helper's share of what is left: tracks in the order of what they still need, dealt in turn."""
        mine = sorted(
            (p for p in stream.tracks if p.running and p.left > WORTH_HANDING), key=lambda p: p.left, reverse=True
        )
        # It asks once: whoever has work has its share already, so the rest is dealt among those who have none.
        share = deal(mine, 1 + sum(not one.tracks for one in self._helpers))
        if not share:
            return
        for progress in share:
            stream.hand_over(progress)
            self.store.release(progress.track)
            progress.elsewhere = True
            helper.tracks.add(progress.track)
        helper.say("take", [(p.lane.as_json(), p.track.seed) for p in share])

    def _take_back(self, progress: Progress, stream: Stream) -> None:
        """From its last snapshot; rows that were told beyond it are computed again, and come out the same."""
        progress.elsewhere = False
        was = self.store.begin(progress)
        left = stream.race.left.get(progress.track.lane) if stream.race is not None else None
        if left is not None and progress.running:  # it left the race while it was on its way back
            progress.status, progress.left_at = "dropped", left
            stream.end(progress)
            return
        if was.state is not None and progress.running:
            stream.trainer.restore(progress.track, progress.lane, was.state)
            progress.opened = True

    def _lost(self, helper: Helper, stream: Stream) -> None:
        self._helpers.remove(helper)
        if helper.ended() == -signal.SIGKILL:
            # By hand, or by the system for want of memory, and then it may be this process's turn next.
            stream.shrink_passes()
            for other in self._helpers:
                other.say("shrink")
        helper.connection.close()
        for progress in stream.tracks:
            if progress.track in helper.tracks:
                self._take_back(progress, stream)


def deal(tracks: Sequence[Progress], hands: int) -> list[Progress]:
    """One hand of several, about equal in what is left to do; nothing where there are fewer than two tracks.

    Lanes of equal shots stay together where they can: their prompts are of one length, so they share passes.
    """
    if len(tracks) < 2:
        return []
    hands = min(hands, len(tracks))
    by_shots: dict[int, list[Progress]] = {}
    for progress in tracks:
        by_shots.setdefault(progress.lane.shots, []).append(progress)
    groups = list(by_shots.values())
    while True:
        dealt: list[list[list[Progress]]] = [[] for _ in range(hands)]
        for group in sorted(groups, key=work_of, reverse=True):
            min(dealt, key=lambda hand: sum(map(work_of, hand))).append(group)
        loads = [sum(map(work_of, hand)) for hand in dealt]
        able = [group for group in dealt[loads.index(max(loads))] if len(group) > 1]
        if min(loads) and (max(loads) <= UNEVEN * sum(loads) / hands or not able):
            return [progress for group in dealt[-1] for progress in group]
        heaviest = max(able or [group for group in groups if len(group) > 1], key=work_of)
        inner = sorted(heaviest, key=lambda progress: progress.left, reverse=True)
        groups = [group for group in groups if group is not heaviest] + [inner[::2], inner[1::2]]


def work_of(group: Sequence[Progress]) -> int:
    return sum(progress.left for progress in group)


class Helper:
    """A process that has its imports to make, which take longer than anything before its first pass: it may be started
    before it is known what it is to do."""

    def __init__(self, number: int):
        # Not multiprocessing's own start: that would run the caller's script again.
        self.connection, theirs = Pipe()
        self.tracks: set[Track] = set()
        self.asked = False
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{IGNORE_INTERRUPT}; {BEGIN}({theirs.fileno()}, {number})"],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **QUICK_MEMORY, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        theirs.close()

    def begin(self, job: Job) -> None:
        self.say(job)

    def dismiss(self) -> None:
        """One that has nothing to do yet."""
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        """How it ended; one that does not is killed, and that is no sign of anything."""
        try:
            return self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return 0

    def say(self, *what: Any) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):  # it is gone: the next recv says so
            self.connection.send(what)

    def said(self) -> bool:
        return not self.connection.closed and self.connection.poll()

    def ask_back(self) -> None:
        if not self.asked:
            self.asked = True
            self.say("give")


IGNORE_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # Ctrl-C is for the main process
BEGIN = "from fewfit.run.helper import work; work"
# Pages that torch frees at every step are kept, not mapped and unmapped each time.
QUICK_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore::FutureWarning",
}


def wait_for_orphans(lanes_folder: Path, seconds: float = 30.0) -> None:
    """Helpers of a killed run may be in their last pass: nobody else may write until they are gone."""
    deadline = time.monotonic() + seconds
    for path in sorted(lanes_folder.glob(".helper-*.lock")):
        with path.open("a") as file:
            while True:
                try:
                    hold(file)
                    break
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise EnvironmentProblem(
                            "a helper process of the stopped run is still writing",
                            where=str(lanes_folder.parent),
                            hint="end it, then resume again",
                        ) from error
                    time.sleep(0.05)
