"""How long lanes will take, from a few real passes: what the quick grid is cut by."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.stream import BUCKET, steps
from fewfit.engine.task import Task
from fewfit.engine.teams import Team, teams
from fewfit.grid import Lane

MISS_SHARE = 0.5  # of answers that have to be generated: not known beforehand


def lane_seconds(model: Any, task: Task, lanes: Sequence[Lane], seeds: int) -> dict[str, float]:
    """Seconds of each lane over all seeds, in passes as full as the run's. One probe per way of working."""
    out: dict[str, float] = {}
    for team in teams(lanes):
        learner = team.learner(model, task.renderer, len(task))
        probed: dict[tuple[int, bool, str], tuple[float, float]] = {}
        try:
            for lane in team.lanes:
                key = (lane.shots, lane.trains, lane.optimizer)
                if key not in probed:
                    probed[key] = probe(learner, team, model, task, lane)
                first, again = probed[key]
                plan = steps(lane, len(task))
                out[lane.name] = seeds * sum(first if step.predicts else again * lane.batch for step in plan)
        finally:
            learner.close()
    return out


def probe(learner: Learner, team: Team, model: Any, task: Task, lane: Lane) -> tuple[float, float]:
    """Seconds a lane of a step that predicts, and of one that only trains, at a full prompt, after a first pass."""
    i = min(len(task), lane.shots + 2)
    length = -(-len(task.scored_row(Track("probe", 0), lane, i, train=False).row.ids) // BUCKET) * BUCKET
    lanes = max(1, min(team.width, 8, team.tokens(model) // length))
    first: list[Row] = []
    again: list[Row] = []
    for number in range(lanes):
        track = Track(f"probe-{number}", 0)
        learner.open(track, lane)
        first.append(task.scored_row(track, lane, i, train=lane.trains).row)
        if lane.trains:
            again.append(task.trained_rows(track, lane, i, 2)[0].row)
    first_s, again_s = [], []
    for _ in range(3):
        start = time.perf_counter()
        learner.predict(first)
        if lane.trains:
            learner.update(first)
        first_s.append(time.perf_counter() - start)
        if again:
            start = time.perf_counter()
            learner.update(again)
            again_s.append(time.perf_counter() - start)
    extra = 0.0
    if task.judge.needs == "text":
        start = time.perf_counter()
        learner.generate(first, task.renderer.settings.max_new_tokens)
        extra = (time.perf_counter() - start) * MISS_SHARE
    for row in first:
        learner.forget(row.track)
    return (min(first_s[1:]) + extra) / lanes, (min(again_s[1:]) if again_s else 0.0) / lanes
