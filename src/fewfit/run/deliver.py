"""From finished lanes to the result: the choice, the bundle and its runners-up, the test file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fewfit import bundle, draw
from fewfit.demonstrations import chooser
from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.stream import Progress, total_updates
from fewfit.engine.task import Task, loss_spans
from fewfit.examples import restore as restore_examples
from fewfit.examples.example import Example
from fewfit.files import write_json
from fewfit.grid import Lane
from fewfit.metrics import Answer, Metric
from fewfit.models.local import Loaded
from fewfit.predict import Predictor
from fewfit.predictions import read
from fewfit.run import folders
from fewfit.run.prepare import TEST
from fewfit.run.snapshots import Store
from fewfit.run.teams import team_of
from fewfit.run.watch import Watch
from fewfit.select import Selection, select
from fewfit.stats import clopper_pearson

NEXT = Example(id="\0next", prompt="\0next", completion="")  # the example to come conflicts with none


@dataclass
class Delivery:
    """All that a finished run has in hand."""

    folder: Path
    record: dict[str, Any]
    lanes: list[Lane]
    tracks: list[Progress]
    tasks: dict[str | None, Task]
    loaded: dict[str | None, Loaded]
    judge: Metric
    store: Store
    check: Callable[[], None] = lambda: None  # raises where a signal came meanwhile

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
    rows = read(run.folder)
    selection = select(rows, run.lanes, metric=run.judge.name, statuses=run.statuses(), criterion=run.record["select"])
    written: dict[str, tuple[str, Path]] = {}
    for kind, name in selection.best_of_kind.items():
        run.check()
        watch.phase(f"writing {name}")
        best = name == selection.best.name
        target = run.folder / folders.BUNDLE if best else run.folder / folders.RUNNERS_UP / quote(name, safe="+@.")
        write_bundle(run, run.lane(name), target, selection, refit=best and run.record["final"] == "refit")
        written[kind] = (name, target)
    opponents: list[
        tuple[str, Path]
    ] = []  # that a pairwise metric compares with, where they are not the best of a kind
    for lane in run.lanes if run.judge.against is not None and run.record["test"] else ():
        if lane.name.partition("@")[0] == run.judge.against and lane.name not in [name for name, _ in written.values()]:
            target = run.folder / folders.RUNNERS_UP / quote(lane.name, safe="+@.")
            write_bundle(run, lane, target, selection, refit=False)
            opponents.append((lane.name, target))
    result = {
        "schema": folders.SCHEMA,
        "run": str(run.folder),
        **selection.as_json(),
        "test": judge_test(run, written, opponents, watch),
        "seconds": round(seconds(), 3),
        "warnings": [*selection.warnings, *differing_warning(differing)],
    }
    write_json(run.folder / folders.RESULT, result)
    return result


def differing_warning(differing: list[str]) -> list[str]:
    """Only where the arithmetic does not repeat (some GPUs): said, never hidden."""
    if not differing:
        return []
    return [f"{len(differing)} predictions came out differently when computed again, the first: {differing[0]}"]


def write_bundle(run: Delivery, lane: Lane, target: Path, selection: Selection, *, refit: bool) -> None:
    """The bundle is prediction n+1: the weights after all n, the demonstrations that example n+1 would have."""
    task, loaded, seed = run.tasks[lane.model], run.loaded[lane.model], run.seed()
    n = len(task)
    pool: Sequence[Example] = task.order(seed) if lane.shots_at_use and chooser(lane.demonstrations).per_query else ()
    demos = [] if pool else task.demonstrations(seed, n + 1, 1, lane.shots_at_use, NEXT, lane.demonstrations)
    best = selection.best if selection.best.name == lane.name else None
    figures = next(one for one in selection.lanes if one.name == lane.name)
    bundle.save(
        target,
        lane=lane,
        seed=seed,
        n=n,
        loaded=loaded,
        settings=task.renderer.settings,
        metric=run.judge.name,
        answer_patterns=tuple(run.record["answer_patterns"]),
        demonstrations=demos,
        pool=pool,
        export=(lambda to: export(run, lane, to, refit=refit)) if lane.trains else None,
        score=best.score if best else figures.score,
        interval=best.interval if best else None,
        end_ids=task.renderer.end_ids,
        end_text=task.renderer.end_text,
    )


def export(run: Delivery, lane: Lane, to: Path, *, refit: bool) -> None:
    """The weights as the stream left them, or trained again."""
    task, track = run.tasks[lane.model], Track(lane.name, run.seed())
    learner = team_of(lane).learner(run.loaded[lane.model].model, task.renderer, len(task))
    try:
        state = run.store.tracks[track].state()
        assert state is not None, f"{lane.name} trained and left no state"
        learner.restore(track, lane, state)
        if refit:
            learner.open(track, lane)
            train_again(task, lane, learner, track)
        learner.export(track, to)
    finally:
        learner.close()


def train_again(task: Task, lane: Lane, learner: Learner, track: Track) -> None:
    """`--final refit`: from fresh weights, i.i.d., as many updates as the stream made. What was scored is then not
    quite what is served; it is there for those who ask."""
    n = len(task)
    order = task.order(track.seed)
    step = 0
    for epoch in range(lane.updates):
        for target in draw.shuffled(order, lambda e: e.id, seed=track.seed, purpose=f"refit-{epoch}"):
            step += 1
            demos = task.demonstrations(track.seed, n + 1, step + 1, lane.shots, target, lane.demonstrations)
            rendered = task.renderer.render(demos, target)
            learner.update([Row(track, rendered.ids, rendered.spans, loss_spans(lane, rendered), scored=False)])
    assert step == total_updates(lane, n)


def judge_test(
    run: Delivery, written: dict[str, tuple[str, Path]], opponents: Sequence[tuple[str, Path]], watch: Watch
) -> list[dict[str, Any]] | None:
    """The bundles as delivered, on examples that nothing was chosen on: plain Clopper-Pearson intervals."""
    if run.record["test"] is None:
        return None
    examples = restore_examples(run.folder / TEST).examples
    answers: list[Answer] = []
    for name, folder in (*written.values(), *opponents):
        run.check()
        watch.phase(f"judging {name} on the test file")
        loaded = run.loaded[run.lane(name).model]
        predictor = Predictor(bundle.load(folder), model=loaded.model, tokenizer=loaded.tokenizer)
        try:
            rows = predictor.predict(list(examples), nll=False)
        finally:
            predictor.close()
        answers += [Answer(name, 0, one, row["prediction"]) for row, one in zip(rows, examples, strict=True)]
    scores = run.judge.scores(answers)
    out = []
    for number, (kind, (name, _)) in enumerate(written.items()):
        own = scores[number * len(examples) : (number + 1) * len(examples)]
        interval = list(clopper_pearson(sum(own), len(own)))
        out.append({"name": name, "kind": kind, "n": len(own), "score": sum(own) / len(own), "interval": interval})
    return out
