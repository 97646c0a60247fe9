"""What a study is: a question, the tasks and conditions that may answer it, and which are compared with which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.suites.tasks.comparing import Difference, Row, differences, of_tasks, summary
from fewfit.suites.tasks.condition import Condition
from fewfit.suites.tasks.elsewhere import Elsewhere
from fewfit.suites.tasks.task import Task

# Small enough for models of some hundred million parameters to be between chance and certainty on them.
TASKS = ("sst2", "present-past", "trec", "animal_v_object_3", "english-french", "boolean_expressions")
LR, UPDATES = 3e-4, 3  # what did best of three settings in benchmarks.promise
TUNED = Lane(lr=LR, updates=UPDATES)  # FT, as all studies have it
BOTH = Lane(shots=4, lr=LR, updates=UPDATES)  # ICL+FT
QUICK_TASKS, QUICK_TEST, QUICK_N = ("kinds", "animal"), 8, 5  # of the bundled examples, which `lab` knows something of
QUICK_CONDITIONS = 3
QUICK_POOL = 30  # the shortest

Report = Callable[[Sequence[Row], Sequence[Difference]], list[str]]


@dataclass(frozen=True)
class Compared:
    """`this` against the better of the others."""

    this: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """`report` tells more of the rows than differences do. `seeds`: what is asked cannot be told from fewer orders, of
    the same examples where `one_set`. `text`: measured as well is what a lane costs elsewhere, on that text and on the
    study's other tasks. `quick`: bundled tasks for a quick look."""

    name: str
    asks: str
    conditions: tuple[Condition, ...]
    compared: tuple[Compared, ...]
    tasks: tuple[str, ...] = TASKS
    budgets: tuple[int | None, ...] = (10, 30, 100)
    report: Report = lambda rows, found: []
    curve: tuple[int, ...] = ()  # numbers of shots whose likelihood rows tell
    seeds: int = 1
    one_set: bool = False
    text: str = ""
    quick: tuple[str, ...] = QUICK_TASKS
    largest: int | None = None  # budget that its conditions are made for

    @property
    def trains_whole(self) -> bool:
        """Weights that train whole are their own masters, which asks for fp32."""
        return any(lane.trains and lane.tune == "full" for one in self.conditions for lane in one.lanes)


def one(name: str, lane: Lane, *, again: bool = False, least: int = 0) -> Condition:
    return Condition(name, (lane,), again, least)


def quick(study: Study, bundled: bool = True, *, whole: bool = False) -> Study:
    """Tiny budgets on bundled examples, or on the study's first tasks; of its conditions all (`whole`), or the first of
    those compared."""
    wanted: dict[str, None] = {}
    for pair in () if whole else study.compared:
        wanted |= dict.fromkeys((pair.this, *pair.others))
    names = [*(wanted or (one.name for one in study.conditions))][: None if whole else QUICK_CONDITIONS]
    budgets: tuple[int | None, ...] = (QUICK_N,) if len(study.budgets) <= 3 else (3, QUICK_N)
    tasks = study.quick if bundled else study.tasks[: len(study.quick)]
    return replace(only(study, names), tasks=tasks, budgets=budgets)


def prepared(study: Study, tasks: Sequence[Task]) -> tuple[tuple[Task, ...], Elsewhere | None]:
    """Its tasks as it asks for them, and what is to be measured beside them."""
    some = tuple(replace(one, one_set=study.one_set) for one in tasks)
    return some, Elsewhere(some, study.text) if study.text else None


def only(study: Study, names: Sequence[str]) -> Study:
    """The same with some of its conditions, and what is left of its comparisons."""
    known = {condition.name: condition for condition in study.conditions}
    if unknown := next((name for name in names if name not in known), None):
        raise UserError(f"no condition {unknown} in {study.name}", hint=f"one of {', '.join(known)}")
    kept = tuple(pair for pair in study.compared if pair.this in names and set(pair.others) & set(names))
    pairs = tuple(Compared(pair.this, tuple(name for name in pair.others if name in names)) for pair in kept)
    return replace(study, conditions=tuple(known[name] for name in dict.fromkeys(names)), compared=pairs)


def bundled() -> Path:
    """The examples that come with the package."""
    return Path(str(files("fewfit") / "demo" / "data"))


def found(study: Study, rows: Sequence[Row]) -> list[Difference]:
    return [one for pair in study.compared for one in differences(rows, pair.this, pair.others)]


def told(study: Study, rows: Sequence[Row]) -> list[str]:
    """A line for each comparison, over tasks and sizes, and what the study itself has to say."""
    some = found(study, rows)
    lines = []
    for pair in study.compared:
        for model in dict.fromkeys(row["model"] for row in rows):
            mine = [d for d in some if d.this == pair.this and d.other in pair.others and d.model == model]
            if not mine:
                continue
            other = pair.others[0] if len(pair.others) == 1 else f"the better of {' and '.join(pair.others)}"
            lines.append(f"{model}: {pair.this} against {other}:{summary(mine)}")
    return [*lines, *study.report(rows, some)]


def told_of_tasks(rows: Sequence[Row], pairs: Sequence[tuple[str, str]], what: str) -> list[str]:
    """A line for each model and condition: tasks against others that have the same test examples, over all pairs."""
    some = [one for pair in pairs for one in of_tasks(rows, *pair)]
    places = dict.fromkeys((one.model, one.this) for one in some)
    return [
        f"{model}: {condition}, {what}:{summary([d for d in some if (d.model, d.this) == (model, condition)])}"
        for model, condition in places
    ]
