"""Runs what run.json says, from wherever its lanes stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit import demonstrations
from fewfit.engine import memory
from fewfit.engine import source as sources
from fewfit.engine.learner import LaneState, Track
from fewfit.engine.remote import RemotePrompter
from fewfit.engine.stream import Progress, Stream, steps
from fewfit.engine.task import Task
from fewfit.engine.threads import is_small, one_thread, processors
from fewfit.errors import EnvironmentProblem, Interrupted
from fewfit.grid import Lane
from fewfit.metrics import OWN, Metric
from fewfit.models.local import Loaded
from fewfit.models.remote import trouble
from fewfit.render import Renderer, RenderSettings
from fewfit.run import folders, inferences, sets
from fewfit.run.documents import execute_on_documents, seldom
from fewfit.run.executor import SURELY_WORTH, Helper, Job, LocalExecutor, wait_for_orphans
from fewfit.run.journal import MEMORY, Journal
from fewfit.run.passes import Sizes
from fewfit.run.prepare import Prepared
from fewfit.run.session import (
    Session,
    catching_signals,
    checked_examples,
    conclude,
    forward_to,
    information,
    interrupted,
)
from fewfit.run.sizing import size_passes
from fewfit.run.snapshots import Store
from fewfit.run.teams import Team, teams
from fewfit.run.watch import Watch
from fewfit.stats.race import Race

SNAPSHOT_SECONDS = 5.0
PASSES_AT_ONCE = 4  # requests of each connection in one pass to an endpoint: at its end they wait for the slowest


@dataclass(frozen=True)
class Work:
    """One team's part of a run: its tracks, where each begins, and the race among its lanes."""

    team: Team
    tracks: list[Progress]
    states: dict[Track, LaneState | None]
    task: Task
    model: dict[str, Any]  # as run.json has it
    loaded: Loaded
    race: Race | None


def execute(prepared: Prepared, judge: Metric, watch: Watch) -> dict[str, Any]:
    """The whole run; returns the result, which result.json holds too."""
    folder = prepared.folder
    with folders.lock(folder), catching_signals() as caught:
        if (folder / folders.RESULT).exists():  # another process ended it while this one loaded the model
            return folders.result(folder)
        wait_for_orphans(folder / folders.LANES)
        journal = Journal(folder, prepared.record)
        session = Session(prepared, watch, journal, caught, Store(folder / folders.LANES))
        result, how = None, "failed"
        journal.begin()
        try:
            with memory.report_exhaustion(str(folder), hint=f"{memory.HINT}; or go on with: fewfit resume {folder}"):
                result = _execute(session, judge)
            how = "done"
        except (Interrupted, KeyboardInterrupt):
            how = "stopped"
            raise
        except EnvironmentProblem as problem:
            how = MEMORY if problem.code == memory.CODE else how
            if problem.code in trouble.RESUMABLE:
                problem.add_hint(f"go on with: fewfit resume {folder}")
            raise
        finally:
            session.store.close()
            journal.end(how)
            watch.end(result)
        clean(folder)
        return result


def _execute(session: Session, judge: Metric) -> dict[str, Any]:
    prepared, record, store, watch = session.prepared, session.record, session.store, session.watch
    folder = prepared.folder
    dataset = checked_examples(folder, record)
    lanes = [Lane.from_json(one) for one in record["lanes"]]
    for lane in lanes:  # those of one's own are known once they are registered again
        demonstrations.chooser(lane.demonstrations)
        sources.source(lane.augment)
    if record.get("documents"):
        return execute_on_documents(session, judge, dataset, lanes)
    tracks: list[Progress] = []
    plans = {lane.name: list(steps(lane, len(dataset.examples))) for lane in lanes}
    # Prompting lanes first: their scores are there in seconds.
    for lane in sorted(lanes, key=lambda lane: lane.trains):
        tracks += [Progress(Track(lane.name, seed), lane, plans[lane.name]) for seed in record["seeds"]]
    earlier = {progress.track: store.begin(progress) for progress in tracks}
    watch.begin(information(session, dataset, lanes, plans, tracks))
    tasks: dict[str | None, Task] = {}

    def check() -> None:
        if session.caught:
            raise interrupted(folder, session.caught[0])

    for model in record["models"]:
        name = model["lane"]
        loaded = prepared.loaded[name]
        renderer = Renderer(loaded.tokenizer, RenderSettings.from_json(model["render"]))
        task = tasks[name] = Task(dataset.examples, renderer, judge, order=record["order"])
        wanted = sets.keys([lane for lane in lanes if lane.model == name], record["seeds"])
        if wanted:
            watch.phase("choosing demonstrations")
            with one_thread(is_small(loaded.model)):
                sets.complete(folder, name, loaded.model, task, wanted, check)
        if any(lane.augment for lane in lanes if lane.model == name):
            watch.phase("inferring from the examples")
            last = record["final"] == "refit"  # nothing else is trained once all examples are predicted
            made = inferences.parts([lane for lane in lanes if lane.model == name], task, record["seeds"], last)
            with one_thread(is_small(loaded.model)):
                say = seldom(watch.phase)
                inferences.complete(folder, name, loaded, task, made, check, say, inferences.augmenter_of(record))
        for team in teams([lane for lane in lanes if lane.model == name]):
            mine = [progress for progress in tracks if progress.lane in team.lanes]
            states = {progress.track: earlier[progress.track].state for progress in mine}
            race = race_of(team, session, len(task), judge, remote=loaded.is_remote)
            if race is not None:
                for progress in mine:
                    for row in earlier[progress.track].rows:
                        race.tell(row)
            work = Work(team, mine, states, task, model, loaded, race)
            run_behind_endpoint(work, session) if loaded.is_remote else run_team(work, session)
            if session.caught:
                raise interrupted(folder, session.caught[0])
    return conclude(session, judge, dataset, tracks, tasks, check)


def race_of(team: Team, session: Session, n: int, judge: Metric, *, remote: bool) -> Race | None:
    """Who runs side by side races: not models, of which one is done before the next, and not lanes that tune all of
    one, which go one after another."""
    record = session.prepared.record
    if not record["race"] or not team.stacked:
        return None
    finished = () if remote else [lane.name for lane in team.lanes if not lane.trains]
    halvings = tuple(record.get("halvings", ()))
    return Race(team.lanes, record["seeds"], n, judge.name, halvings, record["select"], finished)


def run_team(work: Work, session: Session) -> None:
    """All tracks of one learner to their end, or to a signal."""
    team, model = work.team, work.loaded.model
    going = [progress for progress in work.tracks if progress.running]
    learner = team.learner(model, work.task.renderer, len(work.task))
    helpers = None
    early: list[Helper] = []
    try:
        most, free = helpers_possible(work, session), memory.available()  # before anybody else takes of it
        if most > 0 and ahead(work, going) > SURELY_WORTH:
            early = [Helper(number) for number in range(min(most, len(going) - 1))]
        with one_thread(most > 0 or is_small(model)):
            if is_short(session):  # measuring would take as long as the streams
                sizes = Sizes(team.tokens(model), 0)
            else:
                lanes = [progress.lane for progress in going]
                sizes = size_passes(learner, team, model, work.task, lanes, helpers=most, free=free)
            if sizes.notice is not None:
                session.tell(sizes.notice)
            sizes = sizes.halved(session.journal.halved)
            helpers = helpers_for(work, session, sizes, early) if most > 0 else None
            early = []
            stream = Stream(
                work.task,
                learner,
                session.store,
                watch=forward_to(session.watch),
                stop=lambda: bool(session.caught),
                race=work.race,
                every=SNAPSHOT_SECONDS,
                width=team.width,
                tokens=sizes.tokens,
                executor=helpers,
                on_shrink=lambda tokens: session.tell(f"memory ran out: passes of {tokens} tokens from here on"),
            )
            try:
                for progress in going:
                    state = work.states[progress.track]
                    if state is not None:
                        learner.restore(progress.track, progress.lane, state)
                        progress.opened = True
                stream.run(work.tracks)
            finally:
                if helpers is not None:
                    helpers.stop(stream)
    finally:
        for helper in early:
            helper.dismiss()
        learner.close()


def run_behind_endpoint(work: Work, session: Session) -> None:
    """Rows go there as they come, as many as it is asked at once; what it takes in is not ours to measure."""
    stream = Stream(
        work.task,
        RemotePrompter(work.loaded.model, work.task.renderer),
        session.store,
        watch=forward_to(session.watch),
        stop=lambda: bool(session.caught),
        race=work.race,
        every=SNAPSHOT_SECONDS,
        width=PASSES_AT_ONCE * work.loaded.model.endpoint.concurrency,
        rounded=lambda tokens: 1,
    )
    stream.run(work.tracks)


def ahead(work: Work, going: Sequence[Progress]) -> float:
    """Multiplications and additions of what is left, roughly: four for each parameter and token of a training sequence,
    two of a prompt's; one of k shots counts as k + 1."""
    some = range(1, len(work.task) + 1, max(1, len(work.task) // 8))
    tokens = sum(len(work.task.render(0, i, 1, 0, i).ids) for i in some) / len(some)
    parameters = sum(p.numel() for p in work.loaded.model.parameters())
    return sum((4 if progress.lane.trains else 2) * progress.left for progress in going) * tokens * parameters


def helpers_possible(work: Work, session: Session) -> int:
    """On a CPU, where another process can load the model and knows all code: one process a core, one thread each."""
    device = next(work.loaded.model.parameters()).device.type
    in_memory = work.loaded.ref.digest.startswith("weights:")  # an object: nobody else has it
    packed = getattr(work.loaded.model.config, "quantization_config", None) is not None  # helpers load whole weights
    own = session.record["metric"].startswith(OWN) or any(
        lane.demonstrations not in demonstrations.SHIPPED or lane.augment not in sources.SHIPPED
        for lane in work.team.lanes
    )
    alone = device != "cpu" or in_memory or packed or own or is_short(session) or len(work.tracks) < 2
    return 0 if alone else processors() - 1


def is_short(session: Session) -> bool:
    return session.prepared.part is not None and session.prepared.part.alone


def helpers_for(work: Work, session: Session, sizes: Sizes, early: Sequence[Helper]) -> LocalExecutor:
    record = session.record
    job = Job(
        lanes_folder=str(session.store.folder),
        lane_model=work.model["lane"],
        examples=str(session.prepared.folder / folders.EXAMPLES),
        model=work.model["name"],
        revision=work.model["revision"],
        digest=work.model["digest"],
        dtype=work.model.get("dtype", record["dtype"]),
        render=work.model["render"],
        metric=record["metric"],
        answer_patterns=tuple(record["answer_patterns"]),
        order=record["order"],
        every=SNAPSHOT_SECONDS,
        width=work.team.width,
        tokens=sizes.tokens,
        stacked=work.team.stacked,
        recompute=sizes.recompute,
    )
    return LocalExecutor(job, session.store, sizes.helpers, early)


def clean(folder: Path) -> None:
    """The merged files hold all evidence now; snapshots have done their work."""
    import shutil

    shutil.rmtree(folder / folders.LANES, ignore_errors=True)
