"""A run on documents: every lane reads all of them, in its prompt or by training, and answers the probe's questions.

There is no stream: a document holds no answer to predict, and the questions are trained on by nobody. So their answers
are evidence as they stand, and choosing by them is corrected for as in any run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewfit.demonstrations.delivery import Set
from fewfit.engine.beginning import prefix
from fewfit.engine.generate import greedy
from fewfit.engine.learner import LaneState, Learner, Track
from fewfit.engine.lessons import Course
from fewfit.engine.likelihood import WORTH_KEEPING, answers_behind, parted
from fewfit.engine.stream import Progress, Step
from fewfit.engine.task import best_choice, softmax
from fewfit.examples.example import Example
from fewfit.grid import KINDS, Grid, Lane
from fewfit.metrics import Metric
from fewfit.models.lent import as_it_was, put_adapter_on, take_adapter_off
from fewfit.models.local import Loaded
from fewfit.render import Renderer
from fewfit.run.snapshots import Store
from fewfit.run.teams import team_of
from fewfit.settings import Settings

PROBE = "probe.jsonl"
USUAL: dict[str, Any] = {"lr": (3e-4, 1e-3), "updates": (8,), "batch": 8}
SNAPSHOT_SECONDS = 10.0


def lanes_on_documents(asked: Settings, n: int, models: Sequence[str | None]) -> Grid:
    """All combinations. `updates` is how often each document is seen, `batch` how many make an update, and `shots` how
    many stand in a prompt: all of them, unless said otherwise. A lane that will have them there learns from as many
    together as others have in a batch."""
    if asked.grid is not None:
        return asked.lanes(models)
    common = {
        name: asked.coordinate(name)[0] for name in ("rank", "tune", "optimizer", "layers", "schedule", "weight_decay")
    }
    common = {name: value for name, value in common.items() if value is not None}
    methods = asked.methods or KINDS
    shots = [min(k, n) for k in asked.shots or (n,)]
    batch = asked.batch or USUAL["batch"]
    rates = [
        {"lr": lr, "updates": updates}
        for lr in asked.lr or USUAL["lr"]
        for updates in asked.updates or USUAL["updates"]
    ]
    lanes: list[Lane] = []
    for model in models:
        if "zero-shot" in methods:
            lanes.append(Lane(model=model))
        if "icl" in methods:
            lanes += [Lane(shots=k, model=model) for k in shots]
        if "ft" in methods:
            lanes += [Lane(**rate, batch=batch, model=model, **common) for rate in rates]
        if "icl+ft" in methods:
            together = max(1, min(batch, n) - 1)
            lanes += [
                Lane(shots=together, use_shots=k, deliver="fixed", **rate, model=model, **common)
                for k in shots
                for rate in rates
            ]
    return Grid(tuple(dict.fromkeys(lanes)))


@dataclass(frozen=True)
class Reading:
    """What one model reads and is asked; to `deliver` what a Task is."""

    documents: tuple[Example, ...]
    examples: tuple[Example, ...]  # the questions
    renderer: Renderer
    judge: Metric
    inferred: dict[tuple[str, ...], tuple[Example, ...]] = field(default_factory=dict)  # by a lane's `augment`

    def __len__(self) -> int:
        return len(self.documents)

    def order(self, seed: int) -> tuple[Example, ...]:
        return self.documents

    def delivered_sets(self, lane: Lane, seed: int) -> tuple[Set, ...]:
        return (self.documents[: lane.shots_at_use],)

    def course(self, track: Track, lane: Lane) -> Course:
        return Course(track, lane, (*self.documents, *self.inferred.get(lane.augment, ())))

    def plan(self, lane: Lane) -> list[Step]:
        steps = self.course(Track(lane.name, 0), lane).steps if lane.trains else 0
        training = [Step(i, 1, False) for i in range(1, steps + 1)]
        return [*training, *(Step(i, 0, True) for i in range(1, len(self.examples) + 1))]

    def choices(self, question: Example) -> tuple[str, ...]:
        if self.judge.needs != "choices":
            return ()
        return question.choices or self.renderer.settings.choices or ()


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
) -> None:
    """Trains it, from where it stands, and asks it. `check` raises where it is time to stop; what was done is kept."""
    lane, track = progress.lane, progress.track
    with tempfile.TemporaryDirectory() as scratch:
        adapter = None
        if lane.trains:
            steps, adapter = reading.course(track, lane).steps, Path(scratch)
            learner = team_of(lane).learner(loaded.model, reading.renderer, totals=lambda _: steps)
            try:
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
            progress.done += 1
            told(row)
    progress.status = "done"
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
    last = time.monotonic()
    try:
        for lesson in course.lessons(reading.renderer, progress.done):
            check()
            alive = learner.update(lesson.rows)[0]
            progress.done += 1
            store.trained(track, trained_row(track, progress.done, lesson.ids))
            if not alive:
                progress.status = "diverged"
                break
            tell(f"{lane.name}: step {progress.done} of {course.steps}")
            if time.monotonic() - last > SNAPSHOT_SECONDS:
                store.snapshot(progress, lambda: learner.state(track))
                last = time.monotonic()
    finally:
        store.snapshot(progress, lambda: learner.state(track))


def trained_row(track: Track, step: int, ids: Sequence[str]) -> dict[str, Any]:
    return {"lane": track.lane, "model": None, "seed": track.seed, "i": step, "update": 1, "ids": list(ids)}


def answers(reading: Reading, progress: Progress, loaded: Loaded, adapter: Path | None) -> list[dict[str, Any]]:
    """A prediction for each question, with the documents in the prompt that the lane has there."""
    renderer, questions = reading.renderer, reading.examples
    shown = reading.delivered_sets(progress.lane, progress.track.seed)[0]
    wanted = [reading.choices(one) or (one.completion,) for one in questions]
    with as_it_was(loaded.model):
        peft = None if adapter is None else put_adapter_on(loaded.model, adapter)
        try:
            told = answers_behind(loaded.model, renderer, shown, questions, wanted)
            written = [] if reading.judge.needs == "choices" else texts(reading, shown, loaded)
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


def texts(reading: Reading, shown: Sequence[Example], loaded: Loaded) -> list[str]:
    """What is written, with the documents' keys and values computed once."""
    renderer = reading.renderer
    prompts = [renderer.prompt(shown, one).ids for one in reading.examples]
    ids = renderer.prefix(shown)
    kept = prefix(loaded.model, ids) if len(ids) >= WORTH_KEEPING else None
    out: dict[int, str] = {}
    for past, some in parted(kept, prompts):
        found = greedy(
            loaded.model,
            [prompts[k] for k in some],
            max_new_tokens=renderer.settings.max_new_tokens,
            end_ids=renderer.end_ids,
            ended=lambda new: renderer.answer_text(new)[1],
            past=past,
        )
        out |= {k: renderer.answer_text(new)[0] for k, new in zip(some, found, strict=True)}
    return [out[k] for k in range(len(prompts))]
