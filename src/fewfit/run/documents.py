"""A run on documents: every lane reads all of them, in its prompt or by training, and answers the probe's questions.

There is no stream: a document holds no answer to predict, and the questions are trained on by nobody. So their answers
are evidence as they stand, and choosing by them is corrected for as in any run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fewfit.engine.learner import LaneState, Learner, Row, Track
from fewfit.engine.lessons import Course, within
from fewfit.engine.likelihood import answers_behind, texts_behind
from fewfit.engine.memory import in_parts
from fewfit.engine.stream import Progress
from fewfit.engine.task import Task, best_choice, softmax
from fewfit.engine.threads import is_small, one_thread
from fewfit.errors import Interrupted
from fewfit.examples import Dataset
from fewfit.examples import restore as restore_examples
from fewfit.grid import Lane
from fewfit.metrics import Metric
from fewfit.models.lent import as_it_was, put_adapter_on, take_adapter_off
from fewfit.models.local import Loaded
from fewfit.render import Renderer, RenderSettings
from fewfit.run import inferences
from fewfit.run.prepare import DOCUMENTS
from fewfit.run.reading import Reading
from fewfit.run.session import Session, changed, conclude, forward_to, information, interrupted
from fewfit.run.sizing import size_update
from fewfit.run.snapshots import Store
from fewfit.run.teams import team_of

SNAPSHOT_SECONDS, SAY_SECONDS = 10.0, 5.0


def seldom(tell: Callable[[str], None], seconds: float = SAY_SECONDS) -> Callable[[str], None]:
    """Tells what it is told last in so many seconds: one line a step is too many."""
    last = 0.0

    def told(what: str) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            tell(what)

    return told


def run_lane(
    reading: Reading,
    progress: Progress,
    loaded: Loaded,
    store: Store,
    *,
    state: LaneState | None,
    tell: Callable[[str], None],
    told: Callable[[dict[str, Any]], None],
    check: Callable[[], None],
    note: Callable[[str], None] = lambda what: None,
    sparing: bool = False,
) -> None:
    """Trains it, from where it stands, and asks it. `check` raises where it is time to stop; what was done is kept.
    `note` hears what is to be remembered; `sparing` of memory is whoever has died before.

    Its adapter is put on the model as a bundle's would be: what is tested is what is served.
    """
    lane, track = progress.lane, progress.track
    with tempfile.TemporaryDirectory() as scratch:
        adapter = None
        if lane.trains:
            course, adapter = reading.course(track, lane), Path(scratch)
            learner = team_of(lane).learner(loaded.model, reading.renderer, totals=lambda _: course.steps)
            try:
                if sparing:
                    learner.enable_recompute()
                less = size_update(learner, loaded.model, lane, longest_update(course, reading.renderer))
                if less is not None:
                    note(less)
                train(reading, progress, learner, store, state, tell, check)
                state = learner.state(track)
                if progress.status != "diverged":
                    learner.export(track, adapter)
            finally:
                learner.close()
            if progress.status == "diverged":
                return
        tell(f"{lane.name}: asking")
        for row in answers(reading, progress, loaded, adapter):
            store.prediction(track, row)
            progress.predicted += 1
            told(row)
    progress.status, progress.done = "done", len(progress.plan)
    store.snapshot(progress, lambda: state or LaneState())


def train(
    reading: Reading,
    progress: Progress,
    learner: Learner,
    store: Store,
    state: LaneState | None,
    tell: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    lane, track = progress.lane, progress.track
    course = reading.course(track, lane)
    if state is None:
        learner.open(track, lane)
    else:
        learner.restore(track, lane, state)
    last, say = time.monotonic(), seldom(tell, SAY_SECONDS)
    for lesson in course.lessons(reading.renderer, progress.done):
        try:
            check()
        except Interrupted:  # between two steps: elsewhere the weights might be those of half a step
            store.snapshot(progress, lambda: learner.state(track))
            raise
        alive = in_parts(learner.update, lesson.rows, learner, lambda rows: None, tracks_whole=True)[0]
        progress.done += 1
        store.trained(track, trained_row(track, lane, progress.done, lesson.ids))
        if not alive:
            progress.status = "diverged"
            break
        say(f"{lane.name}: step {progress.done} of {course.steps}")
        if time.monotonic() - last > SNAPSHOT_SECONDS:
            store.snapshot(progress, lambda: learner.state(track))
            last = time.monotonic()
    store.snapshot(progress, lambda: learner.state(track))


def longest_update(course: Course, renderer: Renderer) -> list[Row]:
    """As if the longest document came every time."""
    longest = max(course.documents, key=lambda one: len(renderer.documents(one).ids))
    parts = within(renderer, (longest,) * (1 + course.lane.shots))
    rendered = [renderer.documents(*part) for part in parts]
    return [Row(course.track, one.ids, one.spans, one.spans) for one in rendered] * course.lane.batch


def trained_row(track: Track, lane: Lane, step: int, ids: Sequence[str]) -> dict[str, Any]:
    return {"lane": track.lane, "model": lane.model, "seed": track.seed, "i": step, "update": 1, "ids": list(ids)}


def answers(reading: Reading, progress: Progress, loaded: Loaded, adapter: Path | None) -> list[dict[str, Any]]:
    """A prediction for each question, with the documents in the prompt that the lane has there."""
    renderer, questions = reading.renderer, reading.examples
    shown = reading.delivered_sets(progress.lane, progress.track.seed)[0]
    wanted = [reading.choices(one) or (one.completion,) for one in questions]
    with as_it_was(loaded.model):
        peft = None if adapter is None else put_adapter_on(loaded.model, adapter)
        try:
            told = answers_behind(loaded.model, renderer, shown, questions, wanted)
            written = [] if reading.judge.needs == "choices" else texts_behind(loaded.model, renderer, shown, questions)
        finally:
            take_adapter_off(loaded.model, peft)
    out = []
    for i, (question, choices, one) in enumerate(zip(questions, wanted, told, strict=True), start=1):
        right = choices.index(question.completion)
        if written:
            prediction, probs, margin = written[i - 1], None, None
            score = reading.judge.score(prediction, question, question.choices)
        else:
            probs = softmax(choices, one.logp)
            prediction, margin = best_choice(choices, one.logp)
            score = float(prediction == question.completion)
        prompt = renderer.prompt(shown, question)
        out.append(
            {
                "lane": progress.track.lane,
                "model": progress.lane.model,
                "seed": progress.track.seed,
                "i": i,
                "id": question.id,
                "shots": len(prompt.demos),
                "demos": list(prompt.demos),
                "nll": -one.logp[right],
                "tokens": one.tokens[right],
                "prompt_tokens": len(prompt.ids),
                "score": score,
                "correct": score >= 1.0,
                "gold": question.completion,
                "prediction": prediction,
                "cut": False,
                "probs": probs,
                "margin": margin,
            }
        )
    return out


def execute_on_documents(session: Session, judge: Metric, questions: Dataset, lanes: list[Lane]) -> dict[str, Any]:
    """One lane after another: there is no stream whose rows they could share."""
    prepared, record, store, watch = session.prepared, session.record, session.store, session.watch
    documents = restore_examples(prepared.folder / DOCUMENTS)
    if documents.digest != record["documents"]["digest"]:
        raise changed(prepared.folder, DOCUMENTS)

    def check() -> None:
        if session.caught:
            raise interrupted(prepared.folder, session.caught[0])

    readings: dict[str | None, Reading] = {}
    for model in record["models"]:
        name, loaded = model["lane"], prepared.loaded[model["lane"]]
        renderer = Renderer(loaded.tokenizer, RenderSettings.from_json(model["render"]))
        mine = [lane for lane in lanes if lane.model == name]
        task = Task(documents.examples, renderer, judge, order="file")
        if any(lane.augment for lane in mine):
            watch.phase("inferring from the documents")
            parts = inferences.parts_of_documents(mine, task)
            say = seldom(watch.phase)
            inferences.complete(prepared.folder, name, loaded, task, parts, check, say, inferences.augmenter_of(record))
        readings[name] = Reading(documents.examples, questions.examples, renderer, judge, task.sources)
    tracks: list[Progress] = []
    for lane in sorted(lanes, key=lambda lane: lane.trains):
        for seed in record["seeds"]:
            track = Track(lane.name, seed)
            tracks.append(Progress(track, lane, readings[lane.model].plan(track, lane)))
    earlier = {progress.track: store.begin(progress) for progress in tracks}
    watch.begin(information(session, questions, lanes, {one.track.lane: one.plan for one in tracks}, tracks))
    tell = forward_to(watch)
    for progress in tracks:
        if progress.status != "running":
            continue
        check()
        loaded = prepared.loaded[progress.lane.model]
        with one_thread(is_small(loaded.model)):
            run_lane(
                readings[progress.lane.model],
                progress,
                loaded,
                store,
                state=earlier[progress.track].state,
                tell=watch.phase,
                told=lambda row, progress=progress: tell(progress, row),  # type: ignore[misc]
                check=check,
                note=session.tell,
                sparing=session.journal.halved > 0,
            )
        tell(progress, None)
    return conclude(session, judge, questions, tracks, readings, check)
