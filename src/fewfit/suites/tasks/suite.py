"""Every cell (task × budget × seed) of a model, kept in a file as it finishes and never made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fewfit import __version__
from fewfit.errors import UserError
from fewfit.models.local import Loaded
from fewfit.suites.results import ROWS, Results, held, machine
from fewfit.suites.tasks.cell import measure, refuse_unlike
from fewfit.suites.tasks.condition import Condition, by_kind, check
from fewfit.suites.tasks.elsewhere import Elsewhere
from fewfit.suites.tasks.task import Task

# What a row is known by: all that its scores hang on. `data` is of the examples and of how they are asked.
KEY = ("task", "condition", "n", "seed", "lanes", "test", "data", "chat", "model", "dtype", "digest")
BUDGETS: tuple[int | None, ...] = (3, 5, 10, 30, 100, None)  # arXiv 2512.19879, section 4; None: all there are
FEWEST = 3  # examples that `fit` takes
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    model: str
    tasks: tuple[Task, ...]
    budgets: tuple[int | None, ...] = BUDGETS
    conditions: tuple[Condition, ...] = field(default_factory=by_kind)
    seeds: int = 1
    chat: str = "auto"
    alone: bool = False  # cells too short for helper processes
    curve: tuple[int, ...] = ()  # numbers of shots whose likelihood rows tell
    elsewhere: Elsewhere | None = None  # what is measured beside each task itself

    def __post_init__(self) -> None:
        check(self.conditions)
        if small := next((one for one in self.budgets if one is not None and one < FEWEST), None):
            raise UserError(f"a budget of {small}", hint=f"give {FEWEST} or more, or all")
        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds}", hint="give 1 or more")
        names = [task.name for task in self.tasks]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"two tasks called {doubled}", hint="rename one: rows are told apart by it")
        for task in self.tasks:
            refuse_unlike(task)
        if self.tasks and next(cells(self), None) is None:
            least = min(one.least for one in self.conditions)
            raise UserError("too few examples for all that is compared", hint=f"give {least} or more")

    def conditions_at(self, n: int) -> tuple[Condition, ...]:
        return tuple(one for one in self.conditions if one.least <= n)


class Cell(NamedTuple):
    task: Task
    n: int
    seed: int


def cells(asked: Asked) -> Iterator[Cell]:
    """Small budgets of all tasks first, and the first seed of all before a second: a run that is cut off has seen
    most. Budgets that come to the same number of examples are one, and those that no condition is for are none."""
    for seed in range(asked.seeds):
        seen: set[tuple[str, int]] = set()
        for budget in sorted(asked.budgets, key=lambda one: (one is None, one or 0)):
            for task in asked.tasks:
                n = task.size(budget)
                if (task.name, n) not in seen and asked.conditions_at(n):
                    seen.add((task.name, n))
                    yield Cell(task, n, seed)


def run(asked: Asked, loaded: Loaded, folder: Path, tell: Tell = lambda what: None) -> list[dict[str, Any]]:
    """The rows of every cell that was asked for, those that were there already among them."""
    with held(folder):
        results = Results(folder / ROWS, KEY)
        digests = {task.name: digest_of(asked, task) for task in asked.tasks}
        every = list(cells(asked))
        found: list[dict[str, Any]] = []
        for number, cell in enumerate(every, start=1):
            conditions = asked.conditions_at(cell.n)
            keys = [key_of(asked, cell, one, loaded, digests[cell.task.name]) for one in conditions]
            missing = [one for one, key in zip(conditions, keys, strict=True) if not results.of(key)]
            if missing:
                name = f"{cell.task.name}, n = {cell.n}, seed {cell.seed} ({number} of {len(every)})"
                results.add(made(asked, cell, missing, loaded, digests[cell.task.name], name, tell))
            found += [row for key in keys for row in results.of(key)]
        return found


def made(
    asked: Asked, cell: Cell, missing: Sequence[Condition], loaded: Loaded, data: str, name: str, tell: Tell
) -> list[dict[str, Any]]:
    def told(what: str) -> None:
        tell(f"{name}: {what}")

    rows = measure(
        loaded, cell.task, cell.n, cell.seed, missing,
        chat=asked.chat, alone=asked.alone, curve=asked.curve, elsewhere=asked.elsewhere, tell=told,
    )  # fmt: skip
    told(", ".join(f"{row['condition']} {shown(row['accuracy'])}" for row in rows))
    of_all = {
        "model": asked.model, "dtype": loaded.dtype, "digest": loaded.ref.digest, "data": data, "chat": asked.chat,
        "splits": 1, "machine": machine(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "fewfit": __version__,
    }  # fmt: skip
    return [row | of_all for row in rows]


def digest_of(asked: Asked, task: Task) -> str:
    """Of all that its rows hang on but the model."""
    return task.digest if asked.elsewhere is None else f"{task.digest}+{asked.elsewhere.digest}"


def key_of(asked: Asked, cell: Cell, condition: Condition, loaded: Loaded, data: str) -> dict[str, Any]:
    return {
        "task": cell.task.name,
        "condition": condition.name,
        "n": cell.n,
        "seed": cell.seed,
        "lanes": condition.described,
        "test": len(cell.task.test),
        "data": data,
        "chat": asked.chat,
        "model": asked.model,
        "dtype": loaded.dtype,
        "digest": loaded.ref.digest,
    }


def shown(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{100 * accuracy:.0f}"
