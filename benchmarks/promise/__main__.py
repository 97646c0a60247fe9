"""Is what is promised what is delivered, on real models?

    python -m benchmarks.promise --models smollm2,gemma3-270m --lines results/promise.jsonl

Cells (model × task × order) go to a file as they finish, and are not made again. One thread; --data is the folder of
published tasks.
"""

from __future__ import annotations

from typing import Any

from benchmarks.promise import tasks
from benchmarks.promise.every import every_cell, parser
from benchmarks.promise.record import record, record_empty
from fewfit.models.local import Loaded


def empty(loaded: Loaded, task: tasks.Task, cell: dict[str, Any]) -> dict[str, Any]:
    return record_empty(loaded, tasks.empty(task, cell["order"]), cell["n"])


def main() -> None:
    wanted = parser(__doc__, "results/promise.jsonl")
    wanted.add_argument("--empty", action="store_true", help="labels that carry nothing: streams alone")
    wanted.add_argument("--every-way", action="store_true", help="try other ways of delivering, too")
    wanted.add_argument("--sizes", default="60", help="with --empty: examples of a stream")
    asked = wanted.parse_args()
    if asked.empty:
        if asked.lines == wanted.get_default("lines"):
            asked.lines = asked.lines.with_name("promise-empty.jsonl")
        asked.tasks = ",".join(name for name in asked.tasks.split(",") if name in tasks.CLOSED)
        every_cell(asked, empty, list(map(int, asked.sizes.split(","))))
    else:
        every_cell(asked, lambda loaded, task, _: record(loaded, task, asked.every_way))


if __name__ == "__main__":
    main()
