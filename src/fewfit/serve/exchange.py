"""One request: its jobs are given to the scheduler, and their events taken until all answers are whole, the time is
over, or the client has gone. However it ends, its places are free afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from fewfit.engine.joint import Text
from fewfit.serve.hosted import Asked, Hosted
from fewfit.serve.jobs import Event, Failed, Job, Judges, Writes
from fewfit.serve.refusal import Refusal, broken
from fewfit.serve.scheduler import Scheduler
from fewfit.serve.slots import Delta, Labelled, Majority, Slot, Written
from fewfit.writing import Decoding

Receive = Callable[[], Awaitable[Any]]
GONE, LATE = "gone", "late"


class ClientGone(Exception):
    """Nobody is there to be answered."""


class Post:
    """Carries events from the scheduler's thread to the loop, those of one step at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._lock = threading.Lock()
        self._pending: list[tuple[asyncio.Queue[Any], Any]] = []

    def put(self, queue: asyncio.Queue[Any], item: Any) -> None:
        with self._lock:
            self._pending.append((queue, item))

    def flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, []
        if pending:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server was killed
                self._loop.call_soon_threadsafe(deliver, pending)


def deliver(pending: Sequence[tuple[asyncio.Queue[Any], Any]]) -> None:
    for queue, item in pending:
        queue.put_nowait(item)


class Exchange:
    def __init__(self, scheduler: Scheduler, post: Post, hosted: Hosted, decoding: Decoding, *, seconds: float):
        self._scheduler, self._post, self._hosted, self._decoding = scheduler, post, hosted, decoding
        self._seconds = seconds
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._jobs: list[Job] = []
        self._slots: list[Slot] = []
        self.prompt_tokens = 0

    @property
    def reused(self) -> int:
        """Tokens of prompts that had been computed for others."""
        return min(sum(job.text.reused for job in self._jobs), self.prompt_tokens)

    @property
    def answers(self) -> int:
        return len(self._slots)

    def ask_for_text(self, asked: Asked, *, n: int, chat: bool, top: int | None, streamed: bool) -> None:
        several = len(asked.prompts) > 1
        self.prompt_tokens += sum(len(one.ids) for one in asked.prompts)
        for _ in range(n):
            index = len(self._slots)
            self._slots.append(Majority(index, len(asked.prompts)) if several else Written(index))
            for number, one in enumerate(asked.prompts):
                job = Writes(
                    Text(one.ids, beginning=one.beginning, adapter=self._hosted.adapter),
                    self._teller([index], number),
                    read=lambda ids: self._hosted.read(ids, chat),
                    encoder=self._hosted.encoder,
                    decoding=self._decoding,
                    key=f"{index}.{number}",
                    marks=self._hosted.marks(chat),
                    top=top,
                    streamed=streamed and not several,
                )
                self._jobs.append(job)

    def ask_for_labels(self, asked: Asked, *, n: int = 1, top: int | None = None) -> None:
        self.prompt_tokens += sum(len(one.ids) for one in asked.prompts)
        sizes = [len(answer) for answer in asked.prompts[0].answers]
        slots = range(len(self._slots), len(self._slots) + n)  # which differ in what is drawn, and share the forwards
        for index in slots:
            self._slots.append(Labelled(index, len(asked.prompts), asked.choices, self._decoding, top=top, sizes=sizes))
        for number, one in enumerate(asked.prompts):
            text = Text(one.ids, beginning=one.beginning, adapter=self._hosted.adapter)
            self._jobs.append(Judges(text, self._teller(slots, number), one.answers))

    def submit(self, most: int) -> None:
        if len(self._jobs) > most:
            raise Refusal(400, f"{len(self._jobs)} texts and labels, and {most} are the most of one request", param="n")
        self._scheduler.submit(self._jobs)

    async def deltas(self, receive: Receive) -> AsyncIterator[Delta]:
        """What is to be sent, in the order in which it is known."""
        late = asyncio.get_running_loop().call_later(self._seconds, self._queue.put_nowait, (LATE, 0, None))
        watch = asyncio.create_task(self._watch(receive))
        open_ = len(self._slots)
        try:
            while open_:
                what, number, event = await self._queue.get()
                if what == GONE:
                    raise ClientGone
                if what == LATE:
                    raise Refusal(504, f"not done within {self._seconds:g} seconds", code="timeout")
                if isinstance(event, Failed):
                    raise broken(event.error)  # who told of it has logged it
                delta = self._slots[what].take(number, event)
                if delta is not None:
                    open_ -= delta.finish is not None
                    yield delta
        finally:
            late.cancel()
            watch.cancel()
            self._scheduler.cancel(self._jobs)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._queue.put_nowait((GONE, 0, None))

    def _teller(self, slots: Sequence[int], number: int) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            for index in slots:
                self._post.put(self._queue, (index, number, event))

        return tell
