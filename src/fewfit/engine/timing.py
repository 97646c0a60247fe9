"""How long lanes will take, from a few real steps: what the quick grid is cut by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fewfit.engine.learner import Track
from fewfit.engine.stream import steps
from fewfit.engine.task import Judge, Task
from fewfit.grid import Lane

MISS_SHARE = 0.5  # of answers that have to be generated: not known beforehand


def lane_seconds(
    make_learner: Callable[[], Any], task: Task, judge: Judge, lanes: Sequence[Lane], seeds: int
) -> dict[str, float]:
    """Seconds of each lane over all seeds. One probe for every (shots, trains, tune), at a full prompt."""
    learner = make_learner()
    probed: dict[tuple[int, bool, str, str], tuple[float, float]] = {}
    try:
        for lane in lanes:
            key = (lane.shots, lane.trains, lane.tune, lane.optimizer)
            if key not in probed:
                probed[key] = probe(learner, task, judge, lane)
    finally:
        learner.close()
    out = {}
    for lane in lanes:
        first, again = probed[lane.shots, lane.trains, lane.tune, lane.optimizer]
        plan = list(steps(lane, len(task)))
        out[lane.name] = seeds * sum(first if step.predicts else again * lane.batch for step in plan)
    return out


def probe(learner: Any, task: Task, judge: Judge, lane: Lane) -> tuple[float, float]:
    """Seconds of a step that predicts, and of one that only trains; the better of two after a first one."""
    track = Track("probe", 0)
    i = min(len(task), lane.shots + 2)
    learner.open(track, lane)
    seen = task.scored_row(track, lane, i, train=lane.trains)
    again = task.trained_rows(track, lane, i, 2)[0] if lane.trains else None
    first_s, again_s = [], []
    for _ in range(3):
        start = time.perf_counter()
        learner.predict([seen.row])
        if lane.trains:
            learner.update([seen.row])
        first_s.append(time.perf_counter() - start)
        if again is not None:
            start = time.perf_counter()
            learner.update([again.row])
            again_s.append(time.perf_counter() - start)
    extra = 0.0
    if judge.needs == "text":
        start = time.perf_counter()
        learner.generate([seen.row], task.renderer.settings.max_new_tokens)
        extra = (time.perf_counter() - start) * MISS_SHARE
    learner.forget(track)
    return min(first_s[1:]) + extra, min(again_s[1:]) if again_s else 0.0
