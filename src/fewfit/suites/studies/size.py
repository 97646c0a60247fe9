"""From ten examples to as many as there are: where FT has caught up with ICL+FT, in examples and in tokens.

That it has is said where ICL+FT was surely above it at a smaller size, and from there on at none by the point."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from fewfit.grid import Lane
from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one
from fewfit.suites.tasks.comparing import Difference, Row, at

FT, BOTH_NAME = "ft", "icl+ft"


def report(rows: Sequence[Row], found: Sequence[Difference]) -> list[str]:
    """Of each task the size of the crossing and what each had cost by then, or that none was seen."""
    lines = []
    some = [d for d in found if (d.this, d.other) == (BOTH_NAME, FT)]
    for model, task in dict.fromkeys((d.model, d.task) for d in some):
        mine = sorted((d for d in some if (d.model, d.task) == (model, task)), key=lambda d: d.n)
        n = crossing([(d.n, d.value.value) for d in mine])
        if n is None or not any(d.n < n and d.value.low > 0 for d in mine):
            sizes = ", ".join(f"{d.value} points at n = {d.n}" for d in mine)
            lines.append(f"{model}, {task}: no crossing was seen (ICL+FT against FT: {sizes})")
            continue
        cost = {name: tokens(rows, model, task, n, name) for name in (FT, BOTH_NAME)}
        sure = next(d for d in mine if d.n == n).value
        lines.append(
            f"{model}, {task}: FT has caught up at n = {n} (ICL+FT against FT there: {sure} points), "
            f"having trained on {cost[FT]:,.0f} tokens where ICL+FT had {cost[BOTH_NAME]:,.0f}"
        )
    return lines


def crossing(differences: Sequence[tuple[int, float]]) -> int | None:
    """Of (n, ICL+FT over FT) in the order of n: from where on none is above 0; None where the last one is."""
    found = None
    for n, value in differences:
        found = None if value > 0 else n if found is None else found
    return found


def tokens(rows: Sequence[Row], model: str, task: str, n: int, condition: str) -> float:
    return fmean(row["trained_tokens"] for row in at(rows, (model, task, n), condition))


STUDY = Study(
    "size",
    "How many examples does FT need to catch up with ICL+FT?",
    (one("icl", Lane(shots=4)), one(FT, TUNED), one(BOTH_NAME, BOTH)),
    (Compared(BOTH_NAME, (FT,)), Compared(BOTH_NAME, ("icl",))),
    tasks=("sst2", "trec", "ag_news", "present-past", "animal_v_object_3", "english-french"),
    budgets=(10, 30, 100, 300, 1000, 2000),
    report=report,
)
