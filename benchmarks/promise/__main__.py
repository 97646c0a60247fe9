"""Is what is promised what is delivered, on real models?

    python -m benchmarks.promise --models smollm2,gemma3-270m --lines results/promise.jsonl

Cells (model × task × order) go to a file as they finish, and are not made again. One thread; --data is the folder of
published tasks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.promise import tasks
from benchmarks.records import Lines, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="smollm2,gemma3-270m")
    parser.add_argument("--tasks", default=",".join(tasks.TASKS))
    parser.add_argument("--orders", default="0,1,2")
    parser.add_argument("--empty", action="store_true", help="labels that carry nothing: streams alone")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--lines", type=Path, default=Path("results/promise.jsonl"))
    asked = parser.parse_args()
    import torch

    from benchmarks.promise.record import record, record_empty
    from fewfit.models.local import load

    torch.set_num_threads(1)
    lines = Lines(asked.lines, key=("model", "task", "order"))
    for order in map(int, asked.orders.split(",")):
        for model in asked.models.split(","):
            loaded = None
            for name in asked.tasks.split(","):
                if lines.has(model=model, task=name, order=order):
                    continue
                loaded = loaded or load(model, device="cpu", dtype=asked.dtype)
                cell = {"model": model, "task": name, "order": order, "dtype": asked.dtype}
                task = tasks.task(name, order, asked.data)
                made = record_empty(loaded, tasks.empty(task, order)) if asked.empty else record(loaded, task)
                lines.add(cell | made | machine())


if __name__ == "__main__":
    main()
