"""How long lanes will take, from a few real passes on one thread: what the quick grid is cut by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fewfit.demonstrations.delivery import reads_to_choose
from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.places import bucket
from fewfit.engine.stream import steps
from fewfit.engine.task import MISS_SHARE, Task
from fewfit.grid import Lane
from fewfit.run.sizing import heaviest, longest_row, most_shots, size_passes
from fewfit.run.teams import teams

SHARING = 2  # lanes that share a pass, where few lanes are left to several processes


def lane_seconds(model: Any, task: Task, lanes: Sequence[Lane], seeds: int) -> dict[str, float]:
    """Seconds of each lane over all seeds. One probe per way of working, at its shortest and longest prompts; between
    them cost goes with the shots: of what predicts with those at use, of what only trains with those of training."""
    out: dict[str, float] = {}
    for team in teams(lanes):
        learner = team.learner(model, task.renderer, len(task))
        try:
            # Nor more at once than fits the memory: a run that died here would leave no folder to go on from.
            tokens = size_passes(learner, team, model, task, [heaviest(team.lanes)]).tokens
            clock = Clock(learner, task, min(team.width, SHARING), tokens)
            for trains in sorted({lane.trains for lane in team.lanes}):
                some = [lane for lane in team.lanes if lane.trains == trains]
                firsts = between(some, lambda lane: lane.shots_at_use, clock.first)
                agains = between(some, lambda lane: lane.shots, clock.again)
                for lane, first, again in zip(some, firsts, agains, strict=True):
                    plan, answers = steps(lane, len(task)), lane.shots_at_use + 1
                    choosing = reads_to_choose(lane, len(task)) * first / answers if lane.is_fixed else 0.0
                    out[lane.name] = seeds * choosing + seeds * sum(
                        first * lane.members if step.predicts else again * lane.batch for step in plan
                    )
        finally:
            learner.close()
    return out


def between(lanes: Sequence[Lane], shots: Callable[[Lane], int], seconds: Callable[[Lane], float]) -> list[float]:
    """Of each lane, in a straight line through the times of those with the fewest and the most shots."""
    low, high = min(lanes, key=shots), max(lanes, key=shots)
    at_low = seconds(low)
    rise = (seconds(high) - at_low) / (shots(high) - shots(low)) if shots(high) != shots(low) else 0.0
    return [at_low + rise * (shots(lane) - shots(low)) for lane in lanes]


class Clock:
    """Times passes of so many `lanes`: fewer where their rows are too long for one."""

    def __init__(self, learner: Learner, task: Task, lanes: int, tokens: int):
        self.learner, self.task, self.lanes, self.tokens = learner, task, lanes, tokens
        self._warm: set[bool] = set()
        self._timed: dict[Lane, tuple[float, float]] = {}
        self._writing: dict[int, float] = {}  # seconds of a row's text, by shots

    def first(self, lane: Lane) -> float:
        """Seconds a lane of a step that predicts, at a full prompt."""
        return self._once(lane)[0]

    def again(self, lane: Lane) -> float:
        """Of one that only trains."""
        return self._once(lane)[1]

    def _once(self, lane: Lane) -> tuple[float, float]:
        if lane not in self._timed:
            self._timed[lane] = self.step(lane)
        return self._timed[lane]

    def step(self, lane: Lane) -> tuple[float, float]:
        i = min(len(self.task), most_shots(lane) + 2)
        length = bucket(len(longest_row(self.task, lane, i).ids))
        lanes = max(1, min(self.lanes, self.tokens // length))
        first: list[Row] = []
        again: list[Row] = []
        for number in range(lanes):
            track = Track(f"probe-{number}", 0)
            self.learner.open(track, lane)
            first.append(self.task.scored_row(track, lane, i, train=lane.trains).row)
            if lane.trains:
                again.append(self.task.trained_rows(track, lane, i, 2)[0].row)

        def scoring() -> None:
            self.learner.score(first)
            if lane.trains:
                self.learner.update(first)

        if lane.trains not in self._warm:  # the first pass of a kind makes what all later ones use
            self._warm.add(lane.trains)
            scoring()
        first_s = seconds_of(scoring)
        again_s = seconds_of(lambda: self.learner.update(again)) if again else 0.0
        if self.task.judge.needs == "text" and lane.shots_at_use not in self._writing:
            most = self.task.renderer.settings.max_new_tokens
            writing = seconds_of(lambda: self.learner.generate(first, most))
            self._writing[lane.shots_at_use] = MISS_SHARE * writing / lanes
        for row in first:
            self.learner.forget(row.track)
        return first_s / lanes + self._writing.get(lane.shots_at_use, 0.0), again_s / lanes


def seconds_of(work: Callable[[], Any]) -> float:
    """On one thread its own time: how busy the machine is just now says little of the run to come."""
    import torch

    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    clock = time.process_time if alone else time.perf_counter
    start = clock()
    work()
    return clock() - start
