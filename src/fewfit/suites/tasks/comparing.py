"""One condition against another on the same test examples: better, equal or worse.

An example's difference is its mean over runs (seeds and dtypes, each against its like), and the interval is over
examples: what another training would bring is in it only as far as the runs differ. `equal` is what has no sure sign;
how large a difference may hide in it, the interval says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean, stdev
from typing import Any, Literal

from fewfit.errors import UserError
from fewfit.suites.claims import Mean, mean
from fewfit.suites.tasks.testing import scores_of

Row = Mapping[str, Any]
TUNED, PROMPTED = ("ft", "icl+ft"), ("zero-shot", "icl")
Says = Literal["better", "equal", "worse"]


@dataclass(frozen=True)
class Difference:
    model: str
    task: str
    n: int
    this: str
    other: str
    value: Mean
    tested_on: str = ""  # the task whose test examples these are, where it is another

    @property
    def says(self) -> Says:
        return "better" if self.value.low > 0 else "worse" if self.value.high < 0 else "equal"

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model, "task": self.task, "n": self.n, "this": self.this, "other": self.other,
            "difference": round(self.value.value, 4),
            "interval": [round(self.value.low, 4), round(self.value.high, 4)], "says": self.says,
        }  # fmt: skip


def differences(rows: Sequence[Row], this: str, others: Sequence[str]) -> list[Difference]:
    """Against the better of the others, task by task and budget by budget. Which one that is, the same test examples
    say: where several are about as good, that flatters them, not `this`."""
    found = []
    for place in places(rows):
        mine = at(rows, place, this)
        theirs = [at(rows, place, name) for name in others]
        best = max((some for some in theirs if paired(mine, some) is not None), key=level, default=[])
        if (values := paired(mine, best)) is not None:
            value = mean(values, -1.0, 1.0)
            origin = mine[0].get("tested_on", "")
            found.append(Difference(*place, this, best[0]["condition"], value, origin))
    return found


def between_models(rows: Sequence[Row]) -> list[Difference]:
    """One model tuned against the better prompting of another, both ways round, where both were tested on the same
    examples, in whatever dtype."""
    digests: dict[str, set[Any]] = {}
    for row in rows:
        digests.setdefault(row["task"], set()).add(row.get("data"))
    models = list(dict.fromkeys(row["model"] for row in rows))
    named = [
        {**row, "model": " and ".join(models), "condition": of_model(row["condition"], row["model"]), "dtype": ""}
        for row in rows
        if len(digests[row["task"]]) == 1
    ]
    return [
        found
        for this, other in permutations(models, 2)
        for way in TUNED
        for found in differences(named, of_model(way, this), [of_model(one, other) for one in PROMPTED])
    ]


def of_model(condition: str, model: str) -> str:
    return f"{condition} of {model}"


def summary(some: Sequence[Difference]) -> str:
    number, mean = counts(some), overall(some)
    points = "" if mean is None else f" by {mean} points,"
    return (
        f"{points} better in {number['better']}, equal in {number['equal']}, worse in {number['worse']} of "
        f"{len(some)} (task × n)"
    )


def of_tasks(rows: Sequence[Row], this: str, other: str) -> list[Difference]:
    """A task against another that has the same test examples, condition by condition."""
    found = []
    for model, task, n in places(rows):
        for condition in dict.fromkeys(row["condition"] for row in rows) if task == this else ():
            values = paired(at(rows, (model, this, n), condition), at(rows, (model, other, n), condition))
            if values is not None:
                value, origin = mean(values, -1.0, 1.0), at(rows, (model, this, n), condition)[0].get("tested_on", "")
                found.append(Difference(model, this, n, condition, f"{condition} on {other}", value, origin))
    return found


def places(rows: Iterable[Row]) -> list[tuple[str, str, int]]:
    return list(dict.fromkeys((row["model"], row["task"], row["n"]) for row in rows))


def at(rows: Sequence[Row], place: tuple[str, str, int], condition: str) -> list[Row]:
    """Of all seeds and dtypes; a lane that diverged has no scores and is left out."""
    here = [row for row in rows if (row["model"], row["task"], row["n"]) == place]
    mine = [row for row in here if row["condition"] == condition and row["accuracy"] is not None]
    refuse_mixed(here, ("data", "test"), place)
    refuse_mixed(mine, ("lanes",), place)
    return mine


def refuse_mixed(rows: Sequence[Row], names: Sequence[str], place: tuple[str, str, int]) -> None:
    """Joined files may hold what is alike by name alone."""
    for name in names:
        if len({row.get(name) for row in rows}) > 1:
            where = "{}, {}, n = {}".format(*place)
            raise UserError(f"rows of several {name}", where=where, hint="keep them in files of their own")


def level(rows: Sequence[Row]) -> float:
    return fmean(row["accuracy"] for row in rows)


def paired(mine: Sequence[Row], theirs: Sequence[Row]) -> list[float] | None:
    """By test example, over the runs that both have."""
    one, other = (by_run(some) for some in (mine, theirs))
    runs = [run for run in one if run in other]
    if not runs:
        return None
    return by_example([[a - b for a, b in zip(one[run], other[run], strict=True)] for run in runs])


def by_run(rows: Sequence[Row]) -> dict[tuple[Any, ...], list[float]]:
    """Scores of one seed in one dtype; the mean of what was run twice, as on two machines."""
    found: dict[tuple[Any, ...], list[list[float]]] = {}
    for row in rows:
        found.setdefault((row["seed"], row.get("dtype"), row.get("test")), []).append(scores_of(row))
    return {run: by_example(some) for run, some in found.items()}


def by_example(some: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(values) for values in zip(*some, strict=True)]


def overall(some: Sequence[Difference]) -> Mean | None:
    """The mean over tasks; of a task, over its sizes, and over its variants that have the same test examples. A few
    tasks that agree by chance are no surer than their test examples: the wider of the two intervals."""
    by_task: dict[str, list[Mean]] = {}
    for one in some:
        by_task.setdefault(one.tested_on or one.task, []).append(one.value)
    found = of_means([fmean(one.value for one in mine) for mine in by_task.values()])
    if found is None:
        return None
    halves = [fmean((one.high - one.low) / 2 for one in mine) for mine in by_task.values()]  # as if sizes erred alike
    half = math.hypot(*halves) / len(halves)
    return Mean(
        found.value, min(found.low, max(-1.0, found.value - half)), max(found.high, min(1.0, found.value + half))
    )


def of_means(means: Sequence[float]) -> Mean | None:
    """With Student's interval of tasks such as these; None of fewer than three, which say nothing of others."""
    from scipy.stats import t as student

    if len(means) < 3:
        return None
    middle = fmean(means)
    half = float(student.ppf(0.975, len(means) - 1)) * stdev(means) / math.sqrt(len(means))
    return Mean(middle, max(-1.0, middle - half), min(1.0, middle + half))


def counts(some: Iterable[Difference]) -> dict[Says, int]:
    found = Counter(one.says for one in some)
    return {says: found[says] for says in ("better", "equal", "worse")}
