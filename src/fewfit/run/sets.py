"""Sets of demonstrations that one is chosen among for all queries.

What the untrained model makes of the examples behind each is computed once a run and kept in its folder: for helpers,
for `resume` and for `inspect`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fewfit.engine.task import Searched, SetKey, Task
from fewfit.errors import UserError
from fewfit.files import write_json
from fewfit.grid import SEARCHED, Lane

FILE = "sets.json"


def keys(lanes: Sequence[Lane], seeds: Sequence[int]) -> list[SetKey]:
    wanted = [SetKey(seed, x.shots_at_use, x.demonstrations) for seed in seeds for x in lanes if x.is_fixed]
    return list(dict.fromkeys(wanted))


def restore(folder: Path, model: str | None, task: Task) -> None:
    """What is known already, of this model."""
    for one in read(folder):
        key = SetKey(one["seed"], one["shots"], one["chooser"])
        if one["model"] != model:
            continue
        if key.chooser == SEARCHED:
            by_id = {one.id: one for one in task.examples}
            task.searched[key] = [Searched(k, tuple(by_id[id] for id in ids)) for k, ids in one["searched"]]
            continue
        if [[demo.id for demo in demos] for demos in task.sets(key)] != one["sets"]:
            raise UserError(
                f"{one['chooser']} draws other sets of {one['shots']} than when the run began",
                where=str(folder), hint="register the chooser that it began with, or start a new run",
            )  # fmt: skip
        task.set_nll[key] = one["nll"]


def known(task: Task, key: SetKey) -> bool:
    return key in (task.searched if key.chooser == SEARCHED else task.set_nll)


def read(folder: Path) -> list[dict[str, Any]]:
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def complete(
    folder: Path, name: str | None, model: Any, task: Task, wanted: Sequence[SetKey], stopped: Callable[[], None]
) -> None:
    """Computes what is not known yet, one key after another, each kept at once."""
    from fewfit.engine.likelihood import set_likelihoods

    restore(folder, name, task)
    for key in wanted:
        if known(task, key):
            continue
        if key.chooser == SEARCHED:
            from fewfit.search.prefixes import searched_sets

            searched = searched_sets(model, task, key, stopped)
            told = [[one.after, [demo.id for demo in one.demos]] for one in searched]
            write_json(folder / FILE, [*read(folder), {"model": name, **key._asdict(), "searched": told}])
            task.searched[key] = searched
            continue
        nll = set_likelihoods(model, task, key, stopped)
        rounded = [[None if value is None else round(value, 6) for value in some] for some in nll]
        sets = [[one.id for one in demos] for demos in task.sets(key)]
        write_json(folder / FILE, [*read(folder), {"model": name, **key._asdict(), "sets": sets, "nll": rounded}])
        task.set_nll[key] = rounded
