"""One thread, one model, all requests: what is asked joins what is being written, as soon as there is room.

Labels are read and texts gone on with in the same forwards, whichever bundles they are of (engine/joint.py).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fewfit.engine.joint import Writing
from fewfit.engine.threads import is_small, one_thread
from fewfit.serve.jobs import Failed, Job
from fewfit.serve.metrics import Metrics
from fewfit.serve.refusal import Refusal

LOG = logging.getLogger(__name__)


class Scheduler:
    """`begin` makes an empty `Writing`; `flush` is called after every step: events of one step travel together."""

    def __init__(
        self,
        model: Any,
        begin: Callable[[], Writing],
        *,
        queue: int,
        metrics: Metrics | None = None,
        flush: Callable[[], None] = lambda: None,
    ):
        self.metrics = metrics or Metrics()
        self.flush = flush
        self._model, self._begin, self._queue = model, begin, queue
        self._change = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._gone: set[Job] = set()
        self._active: dict[int, Job] = {}  # by their text
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="fewfit-scheduler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """All or none of them."""
        if len(jobs) > self._queue:
            raise Refusal(400, f"{len(jobs)} texts and labels, and the queue holds {self._queue}", param="n")
        with self._change:
            if self._closing:
                raise Refusal(503, "the server is being stopped", code="shutting_down")
            under_way = len(self._waiting) + len(self._active)
            if under_way + len(jobs) > self._queue:
                raise Refusal(
                    429,
                    f"the queue is full: {under_way} of {self._queue} places are taken; try again",
                    code="queue_full",
                )
            self._waiting += jobs
            self._gauge()
            self._change.notify()

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Nobody waits for these any more: their places are free at the next step. Those that are done are passed
        over."""
        given_up = set(jobs)
        with self._change:
            self._waiting = deque(job for job in self._waiting if job not in given_up)
            self._gone |= {job for job in given_up if id(job.text) in self._active}
            self._gauge()
            self._change.notify()

    def close(self) -> None:
        """Takes nothing more, finishes what is under way."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    @property
    def under_way(self) -> int:
        with self._change:
            return len(self._waiting) + len(self._active)

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with one_thread(is_small(self._model)):
            writing = self._begin()
            while True:
                with self._change:
                    while not (self._waiting or self._active or self._closing):
                        self._change.wait()
                    if not (self._waiting or self._active):
                        return
                try:
                    with self._change:
                        self._admit(writing)
                    self._step(writing)
                except Exception as error:  # out of memory, for one: those who wait are told, the others can go on
                    self._fail(error)
                    writing = self._begin()
                self.flush()

    def _admit(self, writing: Writing) -> None:
        if self._gone:
            writing.drop(*(job.text for job in self._gone))
            for job in self._gone:
                del self._active[id(job.text)]
            self._gone.clear()
        while self._waiting and writing.has_room(self._waiting[0].text):
            job = self._waiting.popleft()
            self._active[id(job.text)] = job
            writing.add(job.text)
            self.metrics.count_prompt(len(job.text.prompt), job.text.reused)
        self._gauge()

    def _step(self, writing: Writing) -> None:
        over: list[Job] = []
        told = writing.step()
        for text, logits_NV in told:
            job = self._active[id(text)]
            if job.take(logits_NV):
                over.append(job)
        writing.drop(*(job.text for job in over if not job.text.tails))  # those with tails have left by themselves
        with self._change:
            for job in over:
                del self._active[id(job.text)]
            self._gone -= set(over)
            self._gauge()
        self.metrics.count_step(sum(not text.tails for text, _ in told))

    def _fail(self, error: Exception) -> None:
        """Logged here, once for all who are told."""
        LOG.error("a step failed", exc_info=error)
        with self._change:
            failed = list(self._active.values())
            self._active.clear()
            self._gone.clear()
            self._gauge()
        for job in failed:
            job.tell(Failed(error))

    def _gauge(self) -> None:
        self.metrics.texts_waiting, self.metrics.texts_active = len(self._waiting), len(self._active)
