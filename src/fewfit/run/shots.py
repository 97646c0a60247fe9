"""`--shots auto`: how many shots lanes that train get, by what the untrained model makes of the first examples.

The choice looks at answers, and a stream that predicted them afterwards would know them. So it looks at the first third
alone, of which neither the choice of a lane nor the score of one that trains counts a row. Lanes that prompt run with
every number of shots: those that are not chosen are among the rivals that the score is corrected for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fewfit.engine.shots import best, curve, most_shots
from fewfit.engine.task import Task
from fewfit.engine.threads import is_small, one_thread
from fewfit.errors import UserError
from fewfit.grid import AUTO_SHOTS, Grid

FEWEST = 30  # examples: of fewer the choice of a lane counts all rows (stats/criterion.py)


@dataclass(frozen=True)
class Chosen:
    lane: str | None  # whose model, where there are several
    shots: int
    examples: int  # that were looked at, the first of the order
    curve: dict[int, float]  # nats by number of shots

    @property
    def told(self) -> str:
        nats = ", ".join(f"{k}: {value:.2f}" for k, value in self.curve.items())
        whose = f"{self.lane}: " if self.lane else ""
        return f"{whose}tuned with {self.shots} shots, by the first {self.examples} examples (nats by shots: {nats})"


def looked_at(n: int) -> int:
    return n // 3


def refuse_few(n: int) -> None:
    if n < FEWEST:
        raise UserError(f"--shots auto and {n} examples", hint=f"name numbers of shots: it needs {FEWEST}")


def choose(lane: str | None, model: Any, task: Task) -> Chosen:
    first = task.order(0)[: looked_at(len(task))]
    with one_thread(is_small(model)):
        found = curve(model, task, first, AUTO_SHOTS)
    if not found:
        hint = "they share prompts or groups: name numbers of shots"
        raise UserError(f"--shots auto: the first {len(first)} examples cannot stand before each other", hint=hint)
    return Chosen(lane, best(found), len(first), {k: round(value, 4) for k, value in found.items()})


def most(n: int) -> int:
    """That may be chosen: for a plan, which asks no model."""
    return max(k for k in AUTO_SHOTS if k <= most_shots(looked_at(n)))


def narrowed(grid: Grid, chosen: Mapping[str | None, int]) -> Grid:
    """Without lanes that train with other numbers of shots, by model."""
    others = {model: {*AUTO_SHOTS} - {k} for model, k in chosen.items()}
    return Grid(tuple(lane for lane in grid.lanes if not (lane.trains and lane.shots in others[lane.model])))
