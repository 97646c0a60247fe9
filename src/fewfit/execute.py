"""Runs what run.json says, from wherever its lanes stand."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewfit import runs
from fewfit.deliver import Delivery, deliver
from fewfit.engine.learner import LaneState, Track
from fewfit.engine.race import Race
from fewfit.engine.snapshot import Store
from fewfit.engine.stream import Progress, Stream, steps
from fewfit.engine.task import Task
from fewfit.engine.teams import Team, teams
from fewfit.engine.threads import is_small, one_thread
from fewfit.engine.workers import Helpers, Job, memory_for, processors, wait_for_orphans
from fewfit.errors import Interrupted, UserError
from fewfit.examples import Dataset
from fewfit.examples import restore as restore_examples
from fewfit.grid import Lane
from fewfit.metrics import OWN, Metric
from fewfit.models.local import Loaded
from fewfit.predictions import merge
from fewfit.prepare import Prepared
from fewfit.render import Renderer, RenderSettings
from fewfit.watch import RunInfo, Watch

SNAPSHOT_SECONDS = 5.0


def execute(prepared: Prepared, judge: Metric, watch: Watch) -> dict[str, Any]:
    """The whole run; returns the result, which result.json holds too."""
    with runs.lock(prepared.folder), catching_signals() as caught:
        wait_for_orphans(prepared.folder / runs.LANES)
        started = time.monotonic()
        result = None
        try:
            result = _execute(prepared, judge, watch, caught, started)
        finally:
            watch.end(result)
        return result


def _execute(prepared: Prepared, judge: Metric, watch: Watch, caught: list[int], started: float) -> dict[str, Any]:
    folder, record = prepared.folder, prepared.record
    dataset = checked_examples(folder, record)
    lanes = [Lane.from_json(one) for one in record["lanes"]]
    tracks: list[Progress] = []

    def spent() -> float:
        return float(record.get("seconds", 0.0)) + time.monotonic() - started

    store = Store(folder / runs.LANES)
    plans = {lane.name: list(steps(lane, len(dataset.examples))) for lane in lanes}
    # Prompting lanes first: their scores are there in seconds.
    for lane in sorted(lanes, key=lambda lane: lane.trains):
        tracks += [Progress(Track(lane.name, seed), lane, plans[lane.name]) for seed in record["seeds"]]
    earlier = {progress.track: store.begin(progress) for progress in tracks}
    race = Race(lanes, record["seeds"], len(dataset.examples), judge.name) if record["race"] else None
    if race is not None:
        for was in earlier.values():
            for row in was.rows:
                race.tell(row)
    watch.begin(information(prepared, dataset, lanes, plans, tracks))
    tasks: dict[str | None, Task] = {}
    try:
        for model in record["models"]:
            name = model["lane"]
            loaded = prepared.loaded[name]
            renderer = Renderer(loaded.tokenizer, RenderSettings.from_json(model["render"]))
            task = tasks[name] = Task(dataset.examples, renderer, judge, order=record["order"])
            for team in teams([lane for lane in lanes if lane.model == name]):
                mine = [progress for progress in tracks if progress.lane in team.lanes]
                states = {progress.track: earlier[progress.track].state for progress in mine}
                helpers = helpers_for(prepared, model, team, mine, store)
                run_team(team, mine, tracks, states, task, loaded, store, watch, race, helpers, caught)
                if caught:
                    raise interrupted(folder, caught[0])
        watch.phase("choosing")
        names = [lane.name for lane in lanes]
        left = {p.track.lane: p.left_at for p in tracks if p.left_at is not None}
        merge(store.shards(runs.PREDICTIONS), folder / runs.PREDICTIONS, names, until=left)
        # How many updates of its last example a lane had made when it left depends on the moment: none of them counts.
        before = {lane: i - 1 for lane, i in left.items()}
        merge(store.shards(runs.TRAINED), folder / runs.TRAINED, names, until=before)
        delivery = Delivery(folder, record, lanes, tracks, tasks, prepared.loaded, judge, store)
        with one_thread(all(is_small(loaded.model) for loaded in prepared.loaded.values())):
            result = deliver(delivery, watch, spent, store.differing())
    finally:
        store.close()
        runs.write_record(folder, {**record, "seconds": round(spent(), 3)})
    clean(folder)
    return result


def run_team(
    team: Team,
    mine: list[Progress],
    field: list[Progress],
    states: dict[Track, LaneState | None],
    task: Task,
    loaded: Loaded,
    store: Store,
    watch: Watch,
    race: Race | None,
    helpers: Helpers | None,
    caught: list[int],
) -> None:
    """All tracks of one learner to their end, or to a signal."""
    learner = team.learner(loaded.model, task.renderer, len(task))
    stream = Stream(
        task,
        learner,
        store,
        watch=teller(watch),
        stop=lambda: bool(caught),
        race=race,
        every=SNAPSHOT_SECONDS,
        width=team.width,
        tokens=team.tokens(loaded.model),
        others=helpers,
    )
    with one_thread(helpers is not None or is_small(loaded.model)):
        try:
            for progress in mine:
                state = states[progress.track]
                if state is not None and progress.running:
                    learner.restore(progress.track, progress.lane, state)
                    progress.opened = True
            stream.run(mine, field)
        finally:
            if helpers is not None:
                helpers.stop(stream)
            learner.close()


def helpers_for(
    prepared: Prepared, model: dict[str, Any], team: Team, tracks: list[Progress], store: Store
) -> Helpers | None:
    """On a CPU, for a model that another process can load: one process a core, one thread each."""
    loaded = prepared.loaded[model["lane"]]
    device = next(loaded.model.parameters()).device.type
    in_memory = loaded.ref.digest.startswith("weights:")  # an object: nobody else has it
    if device != "cpu" or in_memory or prepared.record["metric"].startswith(OWN) or len(tracks) < 2:
        return None
    spare = memory_for(loaded.model)
    job = Job(
        lanes_folder=str(store.folder),
        examples=str(prepared.folder / runs.EXAMPLES),
        model=model["name"],
        revision=model["revision"],
        dtype=prepared.record["dtype"],
        render=model["render"],
        metric=prepared.record["metric"],
        answer_patterns=tuple(prepared.record["answer_patterns"]),
        order=prepared.record["order"],
        every=SNAPSHOT_SECONDS,
        width=team.width,
        tokens=team.tokens(loaded.model),
        stacked=team.stacked,
    )
    return Helpers(job, store, min(processors() - 1, spare))


def checked_examples(folder: Path, record: dict[str, Any]) -> Dataset:
    dataset = restore_examples(folder / runs.EXAMPLES)
    if dataset.digest != record["data"]["digest"]:
        raise UserError(
            "examples.jsonl is not what the run began with",
            where=str(folder),
            mend="put it back, or start a new run on the new data",
        )
    return dataset


def teller(watch: Watch) -> Callable[[Progress, dict[str, Any] | None], None]:
    def tell(progress: Progress, row: dict[str, Any] | None) -> None:
        lane, seed = progress.track
        if row is None:
            watch.lane(lane, seed, progress.status)
        else:
            watch.row(lane, seed, row, progress.done / len(progress.plan))

    return tell


def information(
    prepared: Prepared, dataset: Dataset, lanes: list[Lane], plans: dict[str, list[Any]], tracks: list[Progress]
) -> RunInfo:
    record = prepared.record
    golds = [example.completion for example in dataset.examples]
    return RunInfo(
        folder=prepared.folder,
        data=record["data"]["source"],
        n=len(golds),
        models=tuple(model["name"] for model in record["models"]),
        metric=record["metric"],
        lanes=tuple(lanes),
        seeds=tuple(record["seeds"]),
        totals={name: len(plan) for name, plan in plans.items()},
        notices=tuple(record["notices"]),
        majority=max(map(golds.count, golds)) / len(golds) if record["metric"] == "choice" else None,
        done={(p.track.lane, p.track.seed): p.predicted for p in tracks if p.done},
    )


def interrupted(folder: Path, number: int) -> Interrupted:
    return Interrupted(
        f"stopped by {signal.Signals(number).name}; nothing is lost",
        exit_code=128 + number,
        where=str(folder),
        mend=f"go on with: fewfit resume {folder}",
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


def clean(folder: Path) -> None:
    """The merged files hold all evidence now; snapshots have done their work."""
    import shutil

    shutil.rmtree(folder / runs.LANES, ignore_errors=True)
