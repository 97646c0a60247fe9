"""The same examples in several orders: of the stream, of the prompt's demonstrations, and of all else that chance draws
from the seed (which demonstrations, an adapter's first weights). With eight examples `icl-8` shows all: order alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pstdev, stdev

from fewfit.grid import Lane
from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one
from fewfit.suites.tasks.comparing import Difference, Row, at, level, places
from fewfit.suites.tasks.testing import scores_of


def report(rows: Sequence[Row], found: Sequence[Difference]) -> list[str]:
    """Standard deviations: of the score over orders, and what another sample of as many test examples would add."""
    lines = []
    for place in places(rows):
        for condition in dict.fromkeys(row["condition"] for row in rows):
            some = at(rows, place, condition)
            seeds = sorted({row["seed"] for row in some})
            if len(seeds) < 2:
                continue
            (model, task, n), scores = place, [level([row for row in some if row["seed"] == one]) for one in seeds]
            sample = fmean(pstdev(scores_of(row)) / sqrt(row["test"]) for row in some)
            lines.append(
                f"{model}, {task}, n = {n}, {condition}: {100 * min(scores):.0f} to {100 * max(scores):.0f} over "
                f"{len(seeds)} orders, ± {100 * stdev(scores):.1f}; test examples alone ± {100 * sample:.1f}"
            )
    return lines


STUDY = Study(
    "order",
    "How much hangs on the order of the same examples, for prompting, tuning and both?",
    (one("icl", Lane(shots=4)), one("ft", TUNED), one("icl+ft", BOTH), one("icl-8", Lane(shots=8))),
    (Compared("icl+ft", ("icl", "ft")), Compared("icl-8", ("icl",))),
    budgets=(8, 30),
    report=report,
    seeds=4,
    one_set=True,
)
