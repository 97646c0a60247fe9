"""What lanes on documents are, what they read and what they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fewfit import draw
from fewfit.demonstrations.delivery import Set
from fewfit.engine.learner import Track
from fewfit.engine.lessons import Course, part_that_fits
from fewfit.engine.source import SOURCES, Source
from fewfit.engine.stream import Step
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import KINDS, Grid, Lane, number, parse_augment, refuse_unknown, several
from fewfit.metrics import Metric
from fewfit.render import Renderer
from fewfit.settings import Settings

USUAL: dict[str, Any] = {"lr": (3e-4, 1e-3), "updates": (8,), "batch": 8}
COMMON = ("rank", "tune", "optimizer", "layers", "schedule", "weight_decay", "kl")


def lanes_on_documents(asked: Settings, n: int, models: Sequence[str | None]) -> Grid:
    """All combinations. `updates` is how often each document is seen, `batch` how many make an update, and `shots` how
    many stand in a prompt: all of them, unless said otherwise. A lane that will have them there learns from as many
    together as others have in a batch: the same tokens, in one row."""
    if asked.grid is not None:
        return asked.lanes(models)
    common = {name: value for name in COMMON if (value := getattr(asked, name)) is not None}
    methods = KINDS if asked.methods is None else several(asked.methods)
    refuse_unknown(methods)
    shots = sorted({min(number(k, "shots", int), n) for k in several(asked.shots or (n,))})
    batch = asked.batch or USUAL["batch"]
    added: list[tuple[str, ...]] = [(), *dict.fromkeys(parse_augment(one) for one in several(asked.augment or ()))]
    rates = [
        {"lr": number(lr, "lr", float), "updates": number(updates, "updates", int), "augment": more, **common}
        for lr in several(asked.lr or USUAL["lr"])
        for updates in several(asked.updates or USUAL["updates"])
        for more in added
    ]
    lanes: list[Lane] = []
    for model in models:
        if "zero-shot" in methods:
            lanes.append(Lane(model=model))
        if "icl" in methods:
            lanes += [Lane(shots=k, model=model) for k in shots]
        if "ft" in methods:
            lanes += [Lane(batch=batch, model=model, **rate) for rate in rates]
        if "icl+ft" in methods:
            together = max(1, min(batch, n) - 1)
            lanes += [
                Lane(shots=together, use_shots=k, deliver="fixed", model=model, **rate) for k in shots for rate in rates
            ]
    if len(added) > 1 and not any(lane.augment for lane in lanes):
        raise UserError("--augment, and no lane that would train on inferences", hint="add ft or icl+ft to --methods")
    return Grid(tuple(lanes))


@dataclass(frozen=True)
class Reading:
    """What one model reads and is asked; to whoever delivers, what a Task is."""

    documents: tuple[Example, ...]
    examples: tuple[Example, ...]  # the questions
    renderer: Renderer
    judge: Metric
    sources: Mapping[tuple[str, ...], Source] = field(default_factory=lambda: SOURCES)  # by a lane's `augment`

    def __len__(self) -> int:
        return len(self.documents)

    def order(self, seed: int) -> tuple[Example, ...]:
        return self.documents

    def delivered_sets(self, lane: Lane, seed: int) -> tuple[Set, ...]:
        """The same documents for every question: all, or what fits of so many drawn by hash."""
        if not lane.shots_at_use:
            return ((),)
        drawn = draw.shuffled(self.documents, lambda one: one.id, seed=seed, purpose="shown")[: lane.shots_at_use]
        kept = {one.id for one in drawn}
        some = [one for one in self.documents if one.id in kept]
        return (part_that_fits(self.renderer, some, self.examples, seed),)

    def course(self, track: Track, lane: Lane) -> Course:
        """Nothing is waiting for a prediction, so all that was inferred from the documents is there from the start."""
        items = self.sources[lane.augment].released(self.documents, len(self.documents))
        return Course(track, lane, tuple(item.example for item in items))

    def trained_tokens(self, lane: Lane) -> int:
        course = self.course(Track(lane.name, 0), lane)
        return lane.updates * sum(len(self.renderer.documents(one).ids) for one in course.documents)

    def plan(self, track: Track, lane: Lane) -> list[Step]:
        steps = self.course(track, lane).steps if lane.trains else 0
        training = [Step(i, 1, False) for i in range(1, steps + 1)]
        return [*training, *(Step(i, 0, True) for i in range(1, len(self.examples) + 1))]

    def choices(self, question: Example) -> tuple[str, ...]:
        if self.judge.needs != "choices":
            return ()
        return question.choices or self.renderer.settings.choices or ()
