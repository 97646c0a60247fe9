"""What a suite would cost, told beforehand: sequences are really rendered, and hours are `plan`'s arithmetic.

Tests are counted with it: each condition is tested once, and what prompts share is computed once for all of them, which
is not reckoned off: hours are rather too many.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fewfit.demonstrations.delivery import SETS
from fewfit.engine.shots import most_shots
from fewfit.engine.task import Task as Rows
from fewfit.engine.threads import processors
from fewfit.metrics import metric
from fewfit.models import local
from fewfit.models.device import pick_device, pick_dtype
from fewfit.plan.lengths import Length, length
from fewfit.plan.shape import ModelShape, shape_of
from fewfit.plan.speed import Speed, measure
from fewfit.plan.work import EFFICIENCY, GPU, stream_work
from fewfit.plan.work import seconds as lane_seconds
from fewfit.render import Renderer
from fewfit.suites.tasks.condition import lanes_of
from fewfit.suites.tasks.elsewhere import SHOTS
from fewfit.suites.tasks.suite import Asked, cells
from fewfit.suites.tasks.task import Task

WRITTEN = 0.5  # of the answers of free text are misses, which are written out
SAMPLE = 40  # examples whose prompts stand for all


def planned(asked: Asked, dtype: str = "auto") -> dict[str, Any]:
    """No weights are fetched."""
    config, tokenizer = local.load_config_and_tokenizer(asked.model, None)
    device = pick_device("auto")
    chosen = pick_dtype(dtype, device, config)
    lanes = lanes_of(asked.conditions)
    shape = shape_of(asked.model, config, list(lanes), chosen, quantize=None, revision=None)
    speed = measure(device, chosen, shape.width, tokens=512)
    rows: list[dict[str, Any]] = []
    operations = hours = 0.0
    every = {task.name: lengths_of(asked, task, tokenizer, shape) for task in asked.tasks}
    for task in asked.tasks:
        works = [work(asked, task, cell.n, every, shape, speed) for cell in cells(asked) if cell.task is task]
        row = {name: sum(one[name] for one in works) for name in works[0]}
        operations, hours = operations + row["operations"], hours + row["hours"]
        rows.append({"task": task.name, "pool": len(task.pool), "test": len(task.test), "cells": len(works), **row})
    return {
        "model": asked.model,
        "parameters": shape.parameters,
        "device": device,
        "dtype": str(chosen).removeprefix("torch."),
        "processors": processors(),
        "rows": rows,
        "tokens": sum(row["tokens"] for row in rows),
        "operations": operations,
        "hours": round(hours, 4),
        "gpu_hours": round(gpu_hours(operations), 12),
    }


def gpu_hours(operations: float) -> float:
    return operations / (EFFICIENCY * GPU) / 3600


def lengths_of(asked: Asked, task: Task, tokenizer: Any, shape: ModelShape) -> dict[int, Length]:
    asking = task.asking
    some = task.stream(SAMPLE, 0)
    renderer = Renderer.resolve(
        tokenizer,
        some,
        chat=asked.chat,
        instruction=asking.instruction,
        no_instruction=asking.bare and asking.instruction is None,
        context_length=shape.context,
        choices=asking.choices,
    )
    rows = Rows(some, renderer, metric(asking.metric, answer_patterns=asking.answer_patterns))
    shots = {k for lane in lanes_of(asked.conditions) for k in (lane.shots, lane.shots_at_use)}
    shots |= set() if asked.elsewhere is None else {SHOTS}
    return {k: length(rows, k) for k in sorted(shots)}


def work(
    asked: Asked, task: Task, n: int, every: dict[str, dict[int, Length]], shape: ModelShape, speed: Speed
) -> dict[str, float]:
    """Of one cell: tokens, operations and hours of one process."""
    tokens = operations = seconds = 0.0
    lengths, conditions = every[task.name], asked.conditions_at(n)
    for lane in lanes_of(conditions):
        made, whole = stream_work(lane, n, lengths[lane.shots], lengths[lane.shots_at_use]), lane.tune == "full"
        tokens += made.trained + made.read
        operations += made.operations(shape.body, whole=whole)
        seconds += lane_seconds(made, shape, speed, whole=whole)
    for lane in dict.fromkeys(lane for one in conditions if one.again for lane in one.lanes):
        # Trained afresh, behind as many demonstrations: what the stream made of it without its predictions.
        made, whole = stream_work(lane, n, lengths[lane.shots], lengths[lane.shots_at_use]), lane.tune == "full"
        again = replace(made, read=0.0, reads=0.0, written=0.0)
        tokens += again.trained
        operations += again.operations(shape.body, whole=whole)
        seconds += lane_seconds(again, shape, speed, whole=whole)
    if asked.curve:
        read = lengths[min(lengths)].mean * sum(SETS * (k + n) for k in asked.curve if k <= most_shots(n))
        tokens += read
        operations += 2 * shape.body * read
        seconds += 2 * shape.body * read / (EFFICIENCY * speed.operations)
    others = [] if asked.elsewhere is None else asked.elsewhere.others(task)
    for one in conditions:
        tested = [(task, lengths[one.lanes[0].shots_at_use]), *((other, every[other.name][SHOTS]) for other in others)]
        for each, told in tested:
            read = len(each.test) * (told.mean + told.scoring)
            written = WRITTEN * len(each.test) * told.generated
            tokens += read + written
            operations += 2 * shape.body * (read + written)
            token = 2 * shape.body / speed.single
            seconds += 2 * shape.body * read / (EFFICIENCY * speed.operations) + written * token
    return {"tokens": round(tokens), "operations": operations, "hours": seconds / 3600}
