"""Does the likelihood of answers by number of shots, of the model as it is, say how many shots are best?

It costs a few forwards of the examples and no training. Beside what its best loses against the best on the test stand
what always the same number loses; all of them lose something, since the best is picked on the test itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count
from statistics import fmean, stdev
from typing import NamedTuple

from fewfit.engine.shots import best, most_shots
from fewfit.grid import AUTO_SHOTS, Lane
from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one
from fewfit.suites.tasks.comparing import Difference, Row

SHOTS = (0, *AUTO_SHOTS)
CURVE, THIRD = "curve", "curve_of_third"


class Cell(NamedTuple):
    """One task and size: accuracy of a kind by number of shots, and the curves, as means over seeds."""

    task: str
    n: int
    kind: str
    accuracy: dict[int, float]
    curves: dict[str, dict[int, float]]

    def lost(self, shots: int) -> float:
        """Against the best on the test, in accuracy."""
        return max(self.accuracy.values()) - self.accuracy[shots]

    def lost_by(self, curve: str) -> float | None:
        asked = {k: nats for k, nats in self.curves[curve].items() if k in self.accuracy}
        return self.lost(best(asked)) if asked else None

    @property
    def correlation(self) -> float | None:
        """Of ranks: 1 where the likelier number of shots is always the better one."""
        from scipy.stats import spearmanr

        both = [k for k in self.accuracy if k in self.curves[CURVE]]
        told = [[-self.curves[CURVE][k] for k in both], [self.accuracy[k] for k in both]]
        if len(both) < 3 or any(len(set(values)) < 2 for values in told):
            return None
        return float(spearmanr(*told).statistic)


def name(kind: str, shots: int) -> str:
    return f"{kind}-{shots}"


def cells(rows: Sequence[Row], model: str) -> Iterator[Cell]:
    mine = [row for row in rows if row["model"] == model]
    for task, n in dict.fromkeys((row["task"], row["n"]) for row in mine):
        here = [row for row in mine if (row["task"], row["n"]) == (task, n)]
        curves = {which: mean_curve([row[which] for row in here]) for which in (CURVE, THIRD)}
        for kind in ("icl", "icl+ft"):
            accuracy = {}
            for k in (k for k in SHOTS if k <= most_shots(n)):
                found = [row["accuracy"] for row in here if row["condition"] == name(kind, k)]
                known = [one for one in found if one is not None]
                if known:
                    accuracy[k] = fmean(known)
            if len(accuracy) > 1:
                yield Cell(task, n, kind, accuracy, curves)


def mean_curve(some: Sequence[dict[str, float]]) -> dict[int, float]:
    shared = [k for k in some[0] if all(k in one for one in some)]
    return {int(k): fmean(one[k] for one in some) for k in shared}


def report(rows: Sequence[Row], found: Sequence[Difference]) -> list[str]:
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        every = list(cells(rows, model))
        lines += [f"{model}, {told(cell)}" for cell in every]
        for kind, n in dict.fromkeys((cell.kind, cell.n) for cell in every):
            some = [cell for cell in every if (cell.kind, cell.n) == (kind, n)]
            lines.append(f"{model}, {kind}, n = {n}: {summary(some)}")
    return lines


def told(cell: Cell) -> str:
    says = best(cell.curves[CURVE]) if cell.curves[CURVE] else "–"
    right = max(cell.accuracy, key=lambda k: (cell.accuracy[k], -k))
    return f"{cell.task}, n = {cell.n}, {cell.kind}: {right} shots on the test, by the curve {says}"


def summary(some: Sequence[Cell]) -> str:
    """Over tasks."""
    from scipy.stats import t as student

    fixed = [k for k in SHOTS if all(k in cell.accuracy for cell in some)]
    lost: dict[str, list[float | None]] = {
        "the curve's best": [cell.lost_by(CURVE) for cell in some],
        "the best by a third of the examples": [cell.lost_by(THIRD) for cell in some],
        **{f"always {k}": [cell.lost(k) for cell in some] for k in fixed},
    }
    means = {what: fmean(known) for what, values in lost.items() if len(known := told_of(values)) == len(some)}
    points = ", ".join(f"{what} {100 * value:.1f}" for what, value in means.items())
    ranks = told_of([cell.correlation for cell in some])
    half = float(student.ppf(0.975, len(ranks) - 1)) * stdev(ranks) / math.sqrt(len(ranks)) if len(ranks) > 2 else 0.0
    spread = f" ± {half:.2f}" if half else ""
    correlation = f"rank correlation {fmean(ranks):.2f}{spread} over {len(ranks)} tasks; " if ranks else ""
    return f"{correlation}points lost against the best on the test: {points}"


def told_of(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def lane_of(kind: str, shots: int) -> Lane:
    if kind == "icl":
        return Lane(shots=shots)
    return Lane(shots=shots, lr=BOTH.lr, updates=BOTH.updates) if shots else TUNED


def least_for(shots: int) -> int:
    """With fewer examples no curve has so many shots."""
    return next(n for n in count(shots) if most_shots(n) >= shots)


STUDY = Study(
    "curve",
    "Does the untrained model's likelihood by number of shots say how many are best, for ICL and for ICL+FT?",
    tuple(one(name(kind, k), lane_of(kind, k), least=least_for(k)) for k in SHOTS for kind in ("icl", "icl+ft")),
    tuple(Compared(name("icl+ft", k), (name("icl", k),)) for k in SHOTS),
    budgets=(10, 30),
    report=report,
    curve=SHOTS,
)
