"""How long lanes will take, from a few real passes on one thread: what the quick grid is cut by."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.places import bucket
from fewfit.engine.sizing import sized
from fewfit.engine.stream import steps
from fewfit.engine.task import MISS_SHARE, Task
from fewfit.engine.teams import Team, teams
from fewfit.grid import Lane


def lane_seconds(model: Any, task: Task, lanes: Sequence[Lane], seeds: int) -> dict[str, float]:
    """Seconds of each lane over all seeds, in passes as full as the run's. One probe per way of working."""
    out: dict[str, float] = {}
    for team in teams(lanes):
        learner = team.learner(model, task.renderer, len(task))
        try:
            # Nor more at once than fits the memory: a run that died here would leave no folder to go on from.
            heaviest = max(team.lanes, key=lambda lane: (lane.trains, lane.shots, lane.rank))
            tokens = sized(learner, team, model, task, [heaviest]).tokens
            for trains in sorted({lane.trains for lane in team.lanes}):
                some = sorted((lane for lane in team.lanes if lane.trains == trains), key=lambda lane: lane.shots)
                # The shortest and the longest prompts are timed; between them cost goes with the shots.
                low, high = some[0], some[-1]
                at_low = probe(learner, team, tokens, task, low)
                at_high = probe(learner, team, tokens, task, high) if high.shots != low.shots else at_low
                for lane in some:
                    part = (lane.shots - low.shots) / max(1, high.shots - low.shots)
                    first, again = (a + part * (b - a) for a, b in zip(at_low, at_high, strict=True))
                    plan = steps(lane, len(task))
                    out[lane.name] = seeds * sum(first if step.predicts else again * lane.batch for step in plan)
        finally:
            learner.close()
    return out


def clock() -> float:
    """On one thread its own time: how busy the machine is just now says little of the run to come."""
    import torch

    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


def probe(learner: Learner, team: Team, tokens: int, task: Task, lane: Lane) -> tuple[float, float]:
    """Seconds a lane of a step that predicts, and of one that only trains, at a full prompt, after a first pass."""
    i = min(len(task), lane.shots + 2)
    length = bucket(len(task.scored_row(Track("probe", 0), lane, i, train=False).row.ids))
    lanes = max(1, min(team.width, 4, tokens // length))
    first: list[Row] = []
    again: list[Row] = []
    for number in range(lanes):
        track = Track(f"probe-{number}", 0)
        learner.open(track, lane)
        first.append(task.scored_row(track, lane, i, train=lane.trains).row)
        if lane.trains:
            again.append(task.trained_rows(track, lane, i, 2)[0].row)
    first_s, again_s = [], []
    for _ in range(2):  # the first one warms up
        start = clock()
        learner.score(first)
        if lane.trains:
            learner.update(first)
        first_s.append(clock() - start)
        if again:
            start = clock()
            learner.update(again)
            again_s.append(clock() - start)
    extra = 0.0
    if task.judge.needs == "text":
        start = clock()
        learner.generate(first, task.renderer.settings.max_new_tokens)
        extra = (clock() - start) * MISS_SHARE
    for row in first:
        learner.forget(row.track)
    return (first_s[-1] + extra) / lanes, (again_s[-1] if again_s else 0.0) / lanes
