"""Every cell that was asked for and is not in the file yet, one after another: the command line of the recorders."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.promise import tasks
from benchmarks.records import Lines, machine
from fewfit.models.local import Loaded

KEY = ("model", "task", "order", "n", "dtype")

Make = Callable[[Loaded, tasks.Task, dict[str, Any]], dict[str, Any]]


def parser(doc: str | None, lines: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--models", default="smollm2,gemma3-270m")
    made.add_argument("--tasks", default=",".join(tasks.TASKS))
    made.add_argument("--orders", default="0,1,2")
    made.add_argument("--dtype", default="bfloat16")
    made.add_argument("--data", type=Path, default=Path("../shared/data"))
    made.add_argument("--lines", type=Path, default=Path(lines))
    return made


def every_cell(asked: argparse.Namespace, make: Make, sizes: Sequence[int | None] = (None,)) -> None:
    import torch

    from fewfit.models.local import load

    torch.set_num_threads(1)
    lines = Lines(asked.lines, key=KEY)
    for n in sizes:
        for order in map(int, asked.orders.split(",")):
            for model in asked.models.split(","):
                loaded = None
                for name in asked.tasks.split(","):
                    cell = {"model": model, "task": name, "order": order, **({} if n is None else {"n": n})}
                    cell["dtype"] = asked.dtype
                    if lines.has(**{"n": None, **cell}):
                        continue
                    loaded = loaded or load(model, device="cpu", dtype=asked.dtype)
                    lines.add(cell | make(loaded, tasks.task(name, order, asked.data), cell) | machine())
