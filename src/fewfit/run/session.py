"""One go at a run: what its parts share, how it is stopped, and how it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.engine.stream import Progress
from fewfit.engine.task import Task
from fewfit.engine.threads import is_small, one_thread
from fewfit.errors import Interrupted, UserError
from fewfit.examples import Dataset
from fewfit.examples import restore as restore_examples
from fewfit.grid import Lane
from fewfit.metrics import Answer, Metric
from fewfit.predictions import merge
from fewfit.run import folders
from fewfit.run.deliver import Delivery, deliver
from fewfit.run.journal import Journal
from fewfit.run.prepare import Prepared
from fewfit.run.reading import Reading
from fewfit.run.snapshots import Store
from fewfit.run.watch import RunInfo, Watch


@dataclass
class Session:
    """One go at a run, from `fit` or `resume` to its end or a signal, and what all its teams share."""

    prepared: Prepared
    watch: Watch
    journal: Journal
    caught: list[int]
    store: Store

    @property
    def record(self) -> dict[str, Any]:
        return self.prepared.record

    def tell(self, what: str) -> None:
        self.watch.phase(what)
        self.journal.tell(what)


def conclude(
    session: Session,
    judge: Metric,
    dataset: Dataset,
    tracks: list[Progress],
    tasks: Mapping[str | None, Task | Reading],
    check: Callable[[], None],
) -> dict[str, Any]:
    """All rows are there: the evidence in one file, the choice, the bundles."""
    prepared, record, store, watch = session.prepared, session.record, session.store, session.watch
    folder = prepared.folder
    lanes = [Lane.from_json(one) for one in record["lanes"]]
    watch.phase("choosing")
    names = [lane.name for lane in lanes]

    def judge_all(rows: list[dict[str, Any]]) -> None:
        """What a deferred metric says, now that all answers are there."""
        examples = {example.id: example for example in dataset.examples}
        answers = [Answer(row["lane"], row["seed"], examples[row["id"]], row["prediction"]) for row in rows]
        for row, score in zip(rows, judge.scores(answers), strict=True):
            row["score"], row["correct"] = score, score >= 1.0

    left = {p.track.lane: p.left_at for p in tracks if p.left_at is not None}
    merge(
        store.shards(folders.PREDICTIONS),
        folder / folders.PREDICTIONS,
        names,
        left,
        judge_all if judge.is_deferred else None,
    )
    # How many updates of its last example a lane had made when it left depends on the moment: none of them counts.
    before = {lane: i - 1 for lane, i in left.items()}
    merge(store.shards(folders.TRAINED), folder / folders.TRAINED, names, before)

    lanes = list({p.track.lane: p.lane for p in tracks}.values())
    delivery = Delivery(folder, record, lanes, tracks, tasks, prepared.loaded, judge, store, check, prepared.part)
    with one_thread(all(loaded.is_remote or is_small(loaded.model) for loaded in prepared.loaded.values())):
        return deliver(delivery, watch, session.journal.seconds, store.differing())


def checked_examples(folder: Path, record: dict[str, Any]) -> Dataset:
    dataset = restore_examples(folder / folders.EXAMPLES)
    if dataset.digest != record["data"]["digest"]:
        raise changed(folder, folders.EXAMPLES)
    return dataset


def changed(folder: Path, name: str) -> UserError:
    return UserError(
        f"{name} is not what the run began with",
        where=str(folder),
        hint="put it back, or start a new run on the new data",
    )


def forward_to(watch: Watch) -> Callable[[Progress, dict[str, Any] | None], None]:
    def tell(progress: Progress, row: dict[str, Any] | None) -> None:
        lane, seed = progress.track
        if row is None:
            watch.lane(lane, seed, progress.status)
        else:
            watch.row(lane, seed, row, progress.done / len(progress.plan))

    return tell


def information(
    session: Session, dataset: Dataset, lanes: list[Lane], plans: dict[str, list[Any]], tracks: list[Progress]
) -> RunInfo:
    prepared, record = session.prepared, session.record
    golds = [example.completion for example in dataset.examples]
    return RunInfo(
        folder=prepared.folder,
        data=record["data"]["source"],
        documents=(record.get("documents") or {"n": 0})["n"],
        n=len(golds),
        models=tuple(model["name"] for model in record["models"]),
        metric=record["metric"],
        lanes=tuple(lanes),
        seeds=tuple(record["seeds"]),
        totals={name: len(plan) for name, plan in plans.items()},
        notices=(*record["notices"], *session.journal.notices),
        majority=max(map(golds.count, golds)) / len(golds)
        if dataset.choices and record["metric"] == "choice"
        else None,
        done={(p.track.lane, p.track.seed): p.predicted for p in tracks if p.done},
    )


def interrupted(folder: Path, number: int) -> Interrupted:
    return Interrupted(
        f"stopped by {signal.Signals(number).name}; what is done is kept",
        exit_code=128 + number,
        where=str(folder),
        hint=f"go on with: fewfit resume {folder}",
    )


@contextmanager
def catching_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM end the loop after the current step; a second one ends it at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread may set handlers
        return

    def note(number: int, _frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
