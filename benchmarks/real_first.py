"""Five tasks on a real pretrained model, from file to tested bundles: how long, what was chosen, what it then scored.

    python -m benchmarks.real_first --model gemma3-270m --lines results/real-first.jsonl --to results/real-first.md

The tasks are published with "Function Vectors in Large Language Models"; --data is the folder of their files. 40
examples and 100 to test on, by hash of the prompt; the quick grid, cut to --budget. A task a process, so that seconds
and memory are those of one command. Finished cells are lines of a file and are not made again.

`--fixed --dtypes bfloat16,float32` compares numbers instead: the same four lanes for each dtype, none of them dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.records import Lines, machine

TASKS = ("present-past", "country-capital", "singular-plural", "english-french", "sentiment")
TRAIN, TEST = 40, 100
KINDS = ("zero-shot", "icl", "ft", "icl+ft")
FIXED = {"shots": [4], "lr": [1e-3], "updates": [1], "race": False}


def examples(path: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    from fewfit.suites.tasks import pairs as files

    rows = dict(files.read(path))
    prompts = sorted(rows, key=lambda prompt: sha256(prompt.encode()).hexdigest())
    pairs = [{"prompt": prompt, "completion": rows[prompt]} for prompt in prompts[: TRAIN + TEST]]
    return pairs[:TRAIN], pairs[TRAIN:]


def run_one(task: str, model: str, dtype: str, grid: dict[str, Any], data: Path) -> dict[str, Any]:
    """In this process, from the first import on."""
    began = time.monotonic()
    import fewfit

    train, test = examples(data / f"{task}.json")
    first: list[float] = []

    def on_row(*_: Any) -> None:
        if not first:
            first.append(time.monotonic() - began)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = fewfit.fit(train, model=model, dtype=dtype, test=test, out=out, on_row=on_row, **grid)
        result = run.result
        ran_in = json.loads((out / "run.json").read_text())["models"][0]["dtype"]
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "task": task,
        "model": model,
        "asked": dtype,
        "dtype": ran_in,
        "grid": grid,
        "best": result["best"],
        "score": result["score"],
        "interval": result["interval"],
        "lanes": result["lanes"],
        "test": result["test"],
        "seconds": round(time.monotonic() - began, 1),
        "to_first_row": round(first[0], 1),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in usage), 1),
        "peak_mib": usage[0].ru_maxrss // 1024,
        "peak_helper_mib": usage[1].ru_maxrss // 1024,
    }


def table(cells: Sequence[dict[str, Any]]) -> str:
    head = ["task", "model", "dtype", "chosen", "expected (95%)", *(f"test {kind}" for kind in KINDS)]
    head += ["seconds", "to the first row", "CPU s", "peak MiB", "load before"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for cell in cells:
        low, high = cell["interval"]
        by_kind = {row["kind"]: row for row in cell["test"]}
        scores = [f"{100 * by_kind[kind]['score']:.0f}" if kind in by_kind else "–" for kind in KINDS]
        expected = f"{100 * cell['score']:.0f} ({100 * low:.0f} to {100 * high:.0f})"
        row = [cell["task"], cell["model"], cell["dtype"], cell["best"], expected, *scores]
        row += [f"{cell['seconds']:.0f}", f"{cell['to_first_row']:.0f}", f"{cell['cpu_seconds']:.0f}"]
        row += [f"{cell['peak_mib']} + {cell['peak_helper_mib']}", cell["load_before"]]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def circumstances(cell: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {cell['versions'][name]}" for name in ("torch", "transformers", "peft"))
    return f"{cell['time'][:10]}, {cell['processor']}, {cell['cores']} cores, {versions}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma3-270m,smollm2")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--dtypes", default="auto")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/function_vectors"))
    parser.add_argument("--lines", type=Path, default=Path("results/real-first.jsonl"))
    parser.add_argument("--to", type=Path, default=Path("results/real-first.md"))
    parser.add_argument("--one", nargs=3, metavar=("TASK", "MODEL", "DTYPE"), help="one cell, as JSON on stdout")
    asked = parser.parse_args()
    if asked.one:
        grid = FIXED if asked.fixed else {"budget": asked.budget}
        task, model, dtype = asked.one
        print(json.dumps(run_one(task, model, dtype, grid, asked.data)))
        return
    lines = Lines(asked.lines, key=("task", "model", "asked"))
    for model in asked.model.split(","):
        for task in asked.tasks.split(","):
            for dtype in asked.dtypes.split(","):
                if lines.has(task=task, model=model, asked=dtype):
                    continue
                command = [sys.executable, "-m", "benchmarks.real_first", "--one", task, model, dtype]
                command += ["--budget", asked.budget, "--data", str(asked.data), *["--fixed"] * asked.fixed]
                load = os.getloadavg()[0]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                lines.add(json.loads(done.stdout.splitlines()[-1]) | {"load_before": round(load, 1), **machine()})
    text = [
        f"`{machine()['command']}`",
        "",
        table(lines.cells),
        "",
        *sorted({circumstances(c) for c in lines.cells}),
        "",
    ]
    asked.to.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
