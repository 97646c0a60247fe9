"""Small tasks and a memory sink, for tests that run lanes without a run folder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from fewfit import draw
from fewfit.engine.learner import LaneState, Track
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.engine.stream import Progress, Stream, steps, total_updates
from fewfit.engine.task import Task
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.metrics import metric
from fewfit.render import Renderer
from tests.tokenizers_made import byte_level

WORDS = (
    "river",
    "stone",
    "cloud",
    "maple",
    "amber",
    "candle",
    "harbor",
    "velvet",
    "copper",
    "meadow",
    "lantern",
    "orchard",
)


def examples(
    n: int, *, labels: Sequence[str] = ("left", "right"), carries: bool = True, uneven: bool = False
) -> list[Example]:
    """A word and a number. The label is told by the word, or, where nothing `carries`, by a coin. `uneven`: of many
    lengths."""
    made = []
    for k in range(1, n + 1):
        word = WORDS[draw.number("word", k) % len(WORDS)]
        sign = WORDS.index(word) if carries else draw.number("coin", k)
        more = " ".join(WORDS[: draw.number("long", k) % 5]) if uneven else ""
        made.append(Example(id=str(k), prompt=f"{word} {more}{k}", completion=labels[sign % len(labels)]))
    return made


def task_of(items: Sequence[Example], *, judge: str = "exact", order: str = "shuffle", **settings: Any) -> Task:
    choices = sorted({e.completion for e in items}) if judge == "choice" else None
    renderer = Renderer.resolve(byte_level(), items, chat="off", choices=choices, no_instruction=True, **settings)
    return Task(items, renderer, metric(judge), order=order)


class Memory:
    """A sink that keeps everything, in the order of writing."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.log: list[tuple[str, Track, int, int]] = []
        self.states: dict[Track, LaneState] = {}

    def prediction(self, track: Track, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.log.append(("predicted", track, row["i"], 0))

    def trained(self, track: Track, row: dict[str, Any]) -> None:
        self.updates.append(row)
        self.log.append(("trained", track, row["i"], row["update"]))

    def snapshot(self, progress: Progress, state: Callable[[], LaneState]) -> None:
        self.states[progress.track] = state()

    def of(self, lane: Lane, seed: int = 0) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["lane"] == lane.name and row["seed"] == seed]


def plain_learner(model: Any, task: Task) -> PlainLearner:
    return PlainLearner(model, **of_task(task))


def stacked_learner(model: Any, task: Task) -> StackLearner:
    return StackLearner(model, **of_task(task))


def of_task(task: Task) -> dict[str, Any]:
    return {
        "end_ids": task.renderer.end_ids,
        "ended": lambda ids: task.renderer.answer_text(ids)[1],
        "totals": lambda lane: total_updates(lane, len(task)),
    }


def run_lanes(
    model: Any,
    task: Task,
    lanes: Sequence[Lane],
    *,
    seeds: Sequence[int] = (0,),
    learner: Any = None,
    **stream: Any,
) -> Memory:
    """Every lane over the whole stream; the model comes back as it was."""
    sink = Memory()
    own = learner is None
    learner = plain_learner(model, task) if own else learner
    tracks = [Progress(Track(lane.name, seed), lane, list(steps(lane, len(task)))) for lane in lanes for seed in seeds]
    try:
        Stream(task, learner, sink, **stream).run(tracks)
    finally:
        if own:
            learner.close()
    return sink


def copy_of(model: Any) -> Any:
    return copy.deepcopy(model)
