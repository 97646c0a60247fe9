"""How long does a whole `fit` take? The stacked engine, one lane at a time on stock PEFT, and an older fewfit.

    python -m benchmarks.end_to_end [--models smollm2,gemma3-270m] [--old SOURCE] --lines results/end-to-end.jsonl

One task (present → past, 40 examples), no race, a process a cell, everything counted from its first import. --grid is
"few" (six lanes, four of which train: few to share a pass) or "quick" (the default grid whole: 15 lanes, 12 train).
"peft" is the same run with every lane on stock PEFT: its own forward, the head on answer places only, the forward that
was scored trained on, one process of one thread on every core; so what differs is the stack alone. "old" is fewfit as
it lies in another checkout. Cells take turns, and finished ones are lines of a file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.real_first import examples
from benchmarks.records import Lines, machine

TASK = "present-past"
GRIDS: dict[str, dict[str, Any]] = {
    "few": {"shots": [4], "lr": [3e-4, 1e-3], "updates": [1], "race": False},
    "quick": {"budget": "9h", "race": False},
}


def run_one(engine: str, folder: str, dtype: str, grid: str, data: Path) -> dict[str, Any]:
    """In this process, from the first import on."""
    began = time.monotonic()
    import fewfit

    if engine == "peft":
        from fewfit.run import execute
        from fewfit.run.teams import Team

        execute.teams = lambda lanes: [Team(False, tuple(lanes))]
    train, _ = examples(data / f"{TASK}.json")
    with tempfile.TemporaryDirectory() as scratch:
        run = fewfit.fit(train, model=folder, dtype=dtype, out=Path(scratch) / "run", chat="off", **GRIDS[grid])
        lanes = {lane["name"]: lane["prequential"] for lane in run.lanes}
    return {"seconds": round(time.monotonic() - began, 1), "lanes": lanes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="smollm2,gemma3-270m")
    parser.add_argument("--dtypes", default="bfloat16,float32")
    parser.add_argument("--engines", default="fewfit,peft,old")
    parser.add_argument("--grid", choices=list(GRIDS), default="few")
    parser.add_argument("--old", type=Path, help="a checkout of fewfit to compare with")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/function_vectors"))
    parser.add_argument("--lines", type=Path, default=Path("results/end-to-end.jsonl"))
    parser.add_argument(
        "--one", nargs=4, metavar=("ENGINE", "FOLDER", "DTYPE", "GRID"), help="one cell, as JSON on stdout"
    )
    asked = parser.parse_args()
    if asked.one:
        engine, folder, dtype, grid = asked.one
        print(json.dumps(run_one(engine, folder, dtype, grid, asked.data)))
        return
    from fewfit.models import local

    lines = Lines(asked.lines, key=("model", "engine", "dtype", "grid"))
    for model in asked.models.split(","):
        folder = str(local.resolve(model, None, weights=True)[1])
        for dtype in asked.dtypes.split(","):
            for engine in asked.engines.split(","):
                if lines.has(model=model, engine=engine, dtype=dtype, grid=asked.grid) or (
                    engine == "old" and asked.old is None
                ):
                    continue
                command = [sys.executable, "-m", "benchmarks.end_to_end", "--one", engine, folder, dtype, asked.grid]
                path = {"PYTHONPATH": str(asked.old / "src")} if engine == "old" else {}
                load = os.getloadavg()[0]
                done = subprocess.run(
                    [*command, "--data", str(asked.data)], stdout=subprocess.PIPE, text=True, env={**os.environ, **path}
                )
                if done.returncode:
                    continue  # said on stderr
                cell = {
                    "model": model,
                    "engine": engine,
                    "dtype": dtype,
                    "grid": asked.grid,
                    "load_before": round(load, 1),
                }
                lines.add(cell | json.loads(done.stdout.splitlines()[-1]) | machine())


if __name__ == "__main__":
    main()
