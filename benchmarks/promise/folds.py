"""What people do instead: train on four fifths, score the fifth, five times over. Lanes and examples of a cell.

    python -m benchmarks.promise.folds --models smollm2 --tasks present-past --lines results/promise-folds.jsonl

The first fold alone is a hold-out of 20%. Each lane is trained as in the stream, but for the predictions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.promise import tasks
from benchmarks.promise.every import every_cell, parser
from benchmarks.promise.record import LANES, SIZES, renderer_of, with_choices
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.task import Task as Rows
from fewfit.engine.task import best_choice
from fewfit.examples import Example
from fewfit.metrics import metric
from fewfit.models.local import Loaded
from fewfit.run.teams import Team

FOLDS = 5


def crossed(loaded: Loaded, task: tasks.Task, n: int) -> dict[str, Any]:
    """By lane: hits and likelihoods of the n examples, each by the lane that was trained without it."""
    renderer = renderer_of(loaded, task)
    examples = [with_choices(one, task) for one in task.learnt[:n]]
    judge = metric("exact" if task.choices is None else "choice")
    hits = {lane.name: ["?"] * n for lane in LANES}
    nll = {lane.name: [0.0] * n for lane in LANES}
    began = time.monotonic()
    for fold in range(FOLDS):
        rows = Rows([one for k, one in enumerate(examples) if k % FOLDS != fold], renderer, judge, order="file")
        learner = Team(True, LANES).learner(loaded.model, renderer, len(rows))
        try:
            train(learner, rows)
            for k in range(fold, n, FOLDS):
                for name, (hit, value) in answered(learner, rows, examples[k], task).items():
                    hits[name][k], nll[name][k] = "01"[hit], round(value, 3)
        finally:
            learner.close()
    seconds = round(time.monotonic() - began, 1)
    return {"hits": {name: "".join(some) for name, some in hits.items()}, "nll": nll, "seconds": seconds}


def train(learner: Learner, rows: Rows) -> None:
    lanes = [lane for lane in LANES if lane.trains]
    for lane in lanes:
        learner.open(Track(lane.name, 0), lane)
    for i in range(1, len(rows) + 1):
        for update in range(1, max(lane.updates for lane in lanes) + 1):
            for shots in sorted({lane.shots for lane in lanes}):  # rows of one length share a pass
                some = [lane for lane in lanes if lane.shots == shots and lane.updates >= update]
                seen = [rows.trained_rows(Track(lane.name, 0), lane, i, update)[0].row for lane in some]
                learner.update(seen)


def answered(learner: Learner, rows: Rows, example: Example, task: tasks.Task) -> dict[str, tuple[bool, float]]:
    at = Moment(0, len(rows) + 1, 1, f"demos of {example.id}")
    asked: list[Row] = []
    for lane in LANES:
        demos: Sequence[Example] = ()
        if lane.shots:
            demos = CHOOSERS[lane.demonstrations].choose(rows.examples, example, lane.shots, at)
        rendered = rows.renderer.render(demos, example)
        choices: tuple[tuple[int, ...], ...] = ()
        if task.choices is not None:
            choices = tuple(rows.renderer.continuations(rows.renderer.prompt(demos, example), task.choices))
        asked.append(Row(Track(lane.name, 0), rendered.ids, rendered.spans, (), choices))
    out = {}
    for lane, scored in zip(LANES, learner.score(asked), strict=True):
        assert scored is not None
        hit, value = scored.hit, scored.nll
        if task.choices is not None:
            hit = best_choice(task.choices, scored.choices)[0] == example.completion
            value = -scored.choices[task.choices.index(example.completion)]
        assert value is not None
        out[lane.name] = (hit, value)
    return out


def main() -> None:
    wanted = parser(__doc__, "results/promise-folds.jsonl")
    wanted.add_argument("--sizes", default=",".join(map(str, SIZES)))
    asked = wanted.parse_args()
    every_cell(
        asked, lambda loaded, task, cell: crossed(loaded, task, cell["n"]), list(map(int, asked.sizes.split(",")))
    )


if __name__ == "__main__":
    main()
