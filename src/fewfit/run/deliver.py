"""From finished lanes to the result: the choice, the bundle and its runners-up, the test file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fewfit import bundle, draw
from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.memory import in_parts
from fewfit.engine.stream import Progress, total_updates
from fewfit.engine.task import Task, loss_spans
from fewfit.examples import restore as restore_examples
from fewfit.examples.example import Example
from fewfit.files import write_json
from fewfit.grid import Lane
from fewfit.metrics import Answer, Metric
from fewfit.models.local import Loaded
from fewfit.predict import predictor_of
from fewfit.predictions import read
from fewfit.run import cost, folders, inferences, journal, shift
from fewfit.run.prepare import TEST, Part
from fewfit.run.reading import Reading
from fewfit.run.sizing import size_passes
from fewfit.run.snapshots import Store
from fewfit.run.teams import team_of
from fewfit.run.watch import Watch
from fewfit.select import Selection, select
from fewfit.stats import clopper_pearson

AT_ONCE = 64  # test examples between two looks at whether to stop


@dataclass
class Delivery:
    """All that a finished run has in hand."""

    folder: Path
    record: dict[str, Any]
    lanes: list[Lane]
    tracks: list[Progress]
    tasks: Mapping[str | None, Task | Reading]
    loaded: dict[str | None, Loaded]
    judge: Metric
    store: Store
    check: Callable[[], None] = lambda: None  # raises where a signal came meanwhile
    part: Part | None = None
    told: list[str] = field(default_factory=list)  # what went another way than was asked for

    def lane(self, name: str) -> Lane:
        return next(lane for lane in self.lanes if lane.name == name)

    def statuses(self) -> dict[str, str]:
        """Of a lane over its seeds: it is as bad off as its worst."""
        worst = ("done", "dropped", "diverged")
        return {
            lane.name: max((p.status for p in self.tracks if p.lane is lane), key=worst.index) for lane in self.lanes
        }

    def seed(self) -> int:
        return min(self.record["seeds"])


def deliver(run: Delivery, watch: Watch, seconds: Callable[[], float], differing: list[str]) -> dict[str, Any]:
    rows, flat = read(run.folder), run.record.get("documents") is not None
    selection = select(
        rows, run.lanes, metric=run.judge.name, statuses=run.statuses(), criterion=run.record["select"], flat=flat
    )
    written: dict[str, tuple[str, Path]] = {}
    for kind, name in selection.best_of_kind.items():
        run.check()
        watch.phase(f"writing {name}")
        best = name == selection.best.name
        target = run.folder / folders.BUNDLE if best else runner_up(run.folder, name)
        write_bundle(run, run.lane(name), target, selection, refit=best and run.record["final"] == "refit")
        written[kind] = (name, target)
    if run.part is not None:
        deliver_all(run, run.part, selection, watch)
    opponents: list[
        tuple[str, Path]
    ] = []  # that a pairwise metric compares with, where they are not the best of a kind
    for lane in run.lanes if run.judge.against is not None and run.record["test"] else ():
        if lane.name.partition("@")[0] == run.judge.against and lane.name not in [name for name, _ in written.values()]:
            target = runner_up(run.folder, lane.name)
            write_bundle(run, lane, target, selection, refit=False)
            opponents.append((lane.name, target))
    test = None if run.record["test"] is None else restore_examples(run.folder / TEST).examples
    examples, labels = next(iter(run.tasks.values())).examples, run.record["data"]["choices"] is not None
    made = inferences.read(run.folder)
    price = cost.costs(
        selection, run.lanes, trained_tokens(run, rows), cost.asked_tokens(rows, run.lanes, flat), made, seconds()
    )
    result = {
        "schema": folders.SCHEMA,
        "run": str(run.folder),
        **selection.as_json(),
        "test": None if test is None else judge_test(run, test, written, opponents, watch),
        "costs": cost.as_json(price),
        "break_even": None
        if selection.nothing_learnt
        else cost.break_even(selection, run.lanes, price, (run.record.get("augmenter") or {}).get("name")),
        "labels": None if test is None or not labels else shift.label_shares(examples, test),
        "seconds": round(seconds(), 3),
        "warnings": [
            *selection.warnings,
            *(shift.warnings(examples, test, labels) if test is not None else ()),
            *empty_warnings(run.lanes, made),
            *part_warnings(run),
            *differing_warning(differing),
            *run.told,
        ],
    }
    write_json(run.folder / folders.RESULT, result)
    return result


def runner_up(folder: Path, lane: str) -> Path:
    return folder / folders.RUNNERS_UP / quote(lane, safe="+@.")


def delivered_again(folder: Path, lane: str) -> Path:
    """Trained afresh in i.i.d. order, beside what the stream made of it."""
    return folder / folders.AGAIN / quote(lane, safe="+@.")


def deliver_all(run: Delivery, part: Part, selection: Selection, watch: Watch) -> None:
    """Those lanes, too, that were not the best of a kind."""
    best = selection.best_of_kind.values()
    for name, status in run.statuses().items():
        run.check()
        if status != "done":
            continue
        if name not in best:
            watch.phase(f"writing {name}")
            write_bundle(run, run.lane(name), runner_up(run.folder, name), selection, refit=False)
        if name in part.again:
            watch.phase(f"training {name} again")
            told = len(run.told)
            write_bundle(run, run.lane(name), delivered_again(run.folder, name), selection, refit=True)
            if len(run.told) > told:  # it diverged, and what was written is what the stream made of it
                shutil.rmtree(delivered_again(run.folder, name))


def part_warnings(run: Delivery) -> list[str]:
    """Of documents only what fits the context stands in a prompt."""
    found: dict[str, None] = {}
    for lane in run.lanes:
        task = run.tasks[lane.model]
        if isinstance(task, Reading) and lane.shots_at_use:
            (shown,), wanted = task.delivered_sets(lane, run.seed()), min(lane.shots_at_use, len(task))
            if len(shown) < wanted:
                found[f"{len(shown)} of {wanted} documents fit the context: a prompt shows these alone"] = None
    return list(found)


def empty_warnings(lanes: Sequence[Lane], made: Sequence[dict[str, Any]]) -> list[str]:
    """Lanes that were to learn from inferences of which there are none."""
    used = {(name, lane.model) for lane in lanes for name in lane.augment}
    there = {(one["strategy"], one["model"]) for one in made if one["rows"]}
    return [
        f"the model inferred nothing that could be kept ({name}): lanes with it are as those without"
        for name, _ in sorted(used - there, key=str)
    ]


def trained_tokens(run: Delivery, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    readings = {name: task for name, task in run.tasks.items() if isinstance(task, Reading)}
    if not readings:
        return cost.in_stream(rows, run.lanes)
    return {lane.name: float(readings[lane.model].trained_tokens(lane)) for lane in run.lanes if lane.trains}


def differing_warning(differing: list[str]) -> list[str]:
    """Only where the arithmetic does not repeat (some GPUs): said, never hidden."""
    if not differing:
        return []
    return [f"{len(differing)} predictions came out differently when computed again, the first: {differing[0]}"]


def write_bundle(run: Delivery, lane: Lane, target: Path, selection: Selection, *, refit: bool) -> None:
    """The bundle is prediction n+1: the weights after all n, and demonstrations as the stream chose them for one."""
    task, loaded, seed = run.tasks[lane.model], run.loaded[lane.model], run.seed()
    n = len(task)  # examples, or documents
    sets = task.delivered_sets(lane, seed)
    held = {example.id: example for one in sets for example in one}  # as its chooser has them
    pool = [held.get(one.id, one) for one in task.order(seed) if not sets or (len(sets) > 1 and one.id in held)]
    figures = selection.lane(lane.name)
    bundle.save(
        target,
        lane=lane,
        seed=seed,
        n=n,
        loaded=loaded,
        settings=task.renderer.settings,
        metric=run.judge.name,
        answer_patterns=tuple(run.record["answer_patterns"]),
        sets=sets,
        pool=pool,
        export=(lambda to: export(run, lane, to, refit=refit)) if lane.trains else None,
        score=figures.score,
        interval=figures.interval,
        end_ids=task.renderer.end_ids,
        end_text=task.renderer.end_text,
        with_tokenizer=run.part is None,
    )


def export(run: Delivery, lane: Lane, to: Path, *, refit: bool) -> None:
    """The weights as the stream left them, or trained again."""
    task, track = run.tasks[lane.model], Track(lane.name, run.seed())
    team, model = team_of(lane), run.loaded[lane.model].model
    learner = team.learner(model, task.renderer, len(task))  # it trains no further
    try:
        again = refit and isinstance(task, Task)
        if again and isinstance(task, Task):
            if journal.halvings(run.folder):
                learner.enable_recompute()
            size_passes(learner, team, model, task, [lane])  # which has layers run again where the stream had
            learner.open(track, lane)
            if not train_again(task, lane, learner, track, run.check):
                learner.forget(track)
                again = False
                run.told.append(f"trained again, {lane.name} diverged: its weights are those of the stream")
        if not again:
            state = run.store.tracks[track].state()
            assert state is not None, f"{lane.name} trained and left no state"
            learner.restore(track, lane, state)
        learner.export(track, to)
    finally:
        learner.close()


def train_again(task: Task, lane: Lane, learner: Learner, track: Track, check: Callable[[], None]) -> bool:
    """`--final refit`: from fresh weights, i.i.d., as many updates as the stream made. What was scored is then not
    quite what is served; it is there for those who ask. False where it diverged."""
    n, seed = len(task), track.seed
    items = task.released(seed, n, lane.augment)
    epochs = (
        item
        for epoch in count()
        for item in draw.shuffled(items, lambda item: item.example.id, seed=seed, purpose=f"refit-{epoch}")
    )
    for step in range(1, total_updates(lane, n) + 1):
        check()
        rows = []
        for slot, (target, apart) in enumerate(islice(epochs, lane.batch)):
            demos = task.demonstrations(
                seed, n + 1, step + 1, lane.shots, target, lane.demonstrations, slot=slot, apart=apart
            )
            rendered = task.renderer.render(demos, target)
            rows.append(Row(track, rendered.ids, rendered.spans, loss_spans(lane, rendered), scored=False))
        if not in_parts(learner.update, rows, learner, lambda rows: None, tracks_whole=True)[0]:
            return False
    return True


def judge_test(
    run: Delivery,
    examples: Sequence[Example],
    written: dict[str, tuple[str, Path]],
    opponents: Sequence[tuple[str, Path]],
    watch: Watch,
) -> list[dict[str, Any]]:
    """The bundles as delivered, on examples that nothing was chosen on: plain Clopper-Pearson intervals."""
    answers: list[Answer] = []
    for name, folder in (*written.values(), *opponents):
        loaded = run.loaded[run.lane(name).model]
        predictor = predictor_of(bundle.load(folder), model=loaded.model, tokenizer=loaded.tokenizer)
        with closing(predictor):
            for start in range(0, len(examples), AT_ONCE):
                run.check()
                watch.phase(f"judging {name} on the test file" + f": {start} of {len(examples)}" * bool(start))
                some = examples[start : start + AT_ONCE]
                rows = predictor.predict(some, nll=False)
                answers += [Answer(name, 0, one, row["prediction"]) for row, one in zip(rows, some, strict=True)]
    scores = run.judge.scores(answers)
    out = []
    for number, (kind, (name, _)) in enumerate(written.items()):
        own = scores[number * len(examples) : (number + 1) * len(examples)]
        interval = list(clopper_pearson(sum(own), len(own)))
        out.append({"name": name, "kind": kind, "n": len(own), "score": sum(own) / len(own), "interval": interval})
    return out
