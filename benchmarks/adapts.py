"""Does the bundled model adapt as models do? Held-out tasks, prompted, tuned, and both.

    python -m benchmarks.adapts [--model lab] [--tasks a,b] [--n 20,60] [--seeds 2] [--out results/adapts]

Every cell is the accuracy of the delivered bundle on 200 fresh examples. Results are saved as they come, and what is
there already is not run again. Two cores: about 20 seconds a cell of six lanes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

LANES = (  # two runs, since a run judges the best lane of every kind
    {"methods": ["zero-shot", "icl", "ft", "icl+ft"], "shots": [8], "lr": [1e-3], "updates": [1]},
    {"methods": ["ft", "icl+ft"], "shots": [8], "lr": [1e-3], "updates": [5]},
)
TEST = 200


def cell(model: str, task: str, n: int, seed: int) -> dict[str, Any]:
    """Test accuracy of every lane."""
    import fewfit
    from fewfit.lab.tasks import held_out_task

    rows = held_out_task(task, seed, n + TEST)
    found: dict[str, Any] = {"model": model, "task": task, "n": n, "seed": seed, "test": {}, "score": {}}
    started = time.monotonic()
    for lanes in LANES:
        with tempfile.TemporaryDirectory() as folder:
            run = fewfit.fit(rows[:n], model=model, test=rows[n:], race=False, out=Path(folder) / "run", **lanes)
            found["test"] |= {one["name"]: one["score"] for one in run.result["test"]}
            found["score"] |= {one["name"]: one["score"] for one in run.lanes}
    found["seconds"] = round(time.monotonic() - started, 1)
    return found


def table(cells: list[dict[str, Any]]) -> str:
    names = list(cells[0]["test"])
    lines = ["| task | n | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for task in dict.fromkeys(one["task"] for one in cells):
        for n in sorted({one["n"] for one in cells}):
            some = [one for one in cells if (one["task"], one["n"]) == (task, n)]
            if some:
                means = [f"{mean(one['test'][name] for one in some):.2f}" for name in names]
                lines.append(f"| {task} | {n} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def main() -> None:
    from fewfit.lab.tasks import HELD_OUT_TASKS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lab")
    parser.add_argument("--tasks", default=",".join(HELD_OUT_TASKS))
    parser.add_argument("--n", default="20,60")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/adapts"))
    asked = parser.parse_args()
    path = asked.out.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = json.loads(path.read_text())["cells"] if path.exists() else []
    there = {(one["model"], one["task"], one["n"], one["seed"]) for one in cells}
    for task in asked.tasks.split(","):
        for n in map(int, asked.n.split(",")):
            for seed in range(asked.seeds):
                if (asked.model, task, n, seed) in there:
                    continue
                cells.append(cell(asked.model, task, n, seed))
                print(json.dumps(cells[-1]), flush=True)
                path.write_text(json.dumps({"cells": cells}, indent=1) + "\n")
                asked.out.with_suffix(".md").write_text(f"{__doc__.splitlines()[0]}\n\n{table(cells)}\n")
    print(table(cells))


if __name__ == "__main__":
    main()
