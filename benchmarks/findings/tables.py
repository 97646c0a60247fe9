"""Tables of what was found, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.records import markdown
from fewfit.grid import KINDS
from fewfit.suites.claims import mean
from fewfit.suites.tasks.comparing import (
    Difference,
    at,
    between_models,
    counts,
    differences,
    level,
    overall,
    places,
)
from fewfit.suites.tasks.testing import scores_of

Row = Mapping[str, Any]


def kinds(rows: Sequence[Row]) -> str:
    """Means over the tasks that all kinds have; ICL+FT against the better of ICL and FT, picked on the same test."""
    head = ["model", "n", "tasks", "orders", *KINDS, "icl+ft less the better of icl and ft", "better / equal / worse"]
    out = [head]
    for model, n in sorted({(row["model"], row["n"]) for row in rows}):
        some = [row for row in rows if (row["model"], row["n"]) == (model, n)]
        tasks = sorted({row["task"] for row in some})
        tasks = [task for task in tasks if all(at(some, (model, task, n), kind) for kind in KINDS)]
        if not tasks:
            continue
        found = [one for one in differences(some, "icl+ft", ("icl", "ft")) if one.task in tasks]
        orders = [len({row["seed"] for row in some if row["task"] == task}) for task in tasks]
        means = [f"{100 * fmean(level(at(some, (model, task, n), kind)) for task in tasks):.0f}" for kind in KINDS]
        span = str(orders[0]) if len(set(orders)) == 1 else f"{min(orders)}–{max(orders)}"
        out.append([model, str(n), str(len(tasks)), span, *means, points(found), three(found)])
    return markdown(out)


def every_task(rows: Sequence[Row]) -> str:
    """A line for each task and size, with 95% intervals of the test examples (seeds together)."""
    out = [["model", "task", "n", "seeds", "test", *KINDS, "icl+ft less the better of icl and ft"]]
    found = {(one.model, one.task, one.n): one for one in differences(rows, "icl+ft", ("icl", "ft"))}
    for place in sorted(places(rows)):
        here = [row for kind in KINDS for row in at(rows, place, kind)]
        told = [of_seeds(at(rows, place, kind)) for kind in KINDS]
        less = f"{found[place].value}: {found[place].says}" if place in found else "–"
        seeds = len({row["seed"] for row in here})
        if here:
            out.append([place[0], place[1], str(place[2]), str(seeds), str(len(scores_of(here[0]))), *told, less])
    return markdown(out)


def models(rows: Sequence[Row]) -> str:
    """One model tuned against the better prompting of another: a line for each pair, way and size."""
    out = [["tuned", "prompted", "n", "tasks", "tuned less prompted", "better / equal / worse"]]
    for n in sorted({row["n"] for row in rows}):
        pairs: dict[tuple[str, str], list[Difference]] = {}
        for one in between_models([row for row in rows if row["n"] == n]):
            pairs.setdefault((one.this, one.other.partition(" of ")[2]), []).append(one)
        for (this, other), found in pairs.items():
            out.append([this, other, str(n), str(len(found)), points(found), three(found)])
    return markdown(out)


def of_seeds(rows: Sequence[Row]) -> str:
    """An example's score is its mean over seeds."""
    if not rows:
        return "–"
    scores = [scores_of(row) for row in rows]
    return str(mean([fmean(one) for one in zip(*scores, strict=True)]))


def settings(rows: Sequence[Row]) -> str:
    """One setting for everything against the best by each stream. Accuracy is a mean over tasks (of a task, over orders
    and models), as the difference is."""
    out = [["setting", "n", "runs", "accuracy", "chosen less it", "better / equal / worse"]]
    for n in sorted({row["n"] for row in rows}):
        some = [row for row in rows if row["n"] == n]
        for name in sorted({row["condition"] for row in some}):
            mine = [row for row in some if row["condition"] == name]
            found = differences(some, "chosen", (name,)) if name != "chosen" else []
            told = [points(found), three(found)] if found else ["", ""]
            by_task = [level([row for row in mine if row["task"] == task]) for task in {row["task"] for row in mine}]
            out.append([name, str(n), str(len(mine)), f"{100 * fmean(by_task):.1f}", *told])
    return markdown(out)


def points(found: Sequence[Difference]) -> str:
    over = overall(found)
    return "–" if over is None else str(over)


def three(found: Sequence[Difference]) -> str:
    number = counts(found)
    return f"{number['better']} / {number['equal']} / {number['worse']}"
