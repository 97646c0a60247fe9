"""The few-shot tasks of arXiv 2512.19879 on models that anybody can fetch: prompt, tune or both, and what it takes.

    python -m benchmarks.real --plan                                  # hours of each model; nothing is done
    python -m benchmarks.real --models Qwen/Qwen3-0.6B --out runs/real

BIG-Bench Hard, classification and function-vector tasks below --data; n = 10, 30, 100 (--budgets 30,all is what the
paper's tables have), two seeds, zero-shot, ICL, FT and ICL+FT, tested as delivered, with the paper's figures beside.
Finished cells are lines of OUT/rows.jsonl and are not made again. The paper trained Gemma 2 of 2B, 9B and 27B whole, by
Adafactor, at rates of 1e-4 to 3e-4 and 1 to 15 updates an example; here it is LoRA of rank 8. A GPU's hours are
reckoned at the speed of large passes, which short prompts do not reach.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import markdown
from fewfit.cli import output
from fewfit.cli.suite.cells import run_all, show_paper
from fewfit.cli.suite.options import read_budgets
from fewfit.errors import FewfitError
from fewfit.suites.tasks.condition import by_kind
from fewfit.suites.tasks.library import library
from fewfit.suites.tasks.planning import gpu_hours, planned
from fewfit.suites.tasks.suite import Asked
from fewfit.suites.tasks.task import Task

# Parameters without embeddings and head, from their published configs: for hours where a config is out of reach.
BODIES = {
    "Qwen/Qwen3-0.6B": 0.44e9,
    "Qwen/Qwen3-1.7B": 1.41e9,
    "google/gemma-2-2b": 2.02e9,
    "google/gemma-2-9b": 8.32e9,
    "meta-llama/Llama-3.1-8B": 6.98e9,
}
STAND_IN, STAND_IN_BODY = "smollm2", 0.106e9  # whose tokens are counted then
FOLDERS = ("bbh", "nlp", "function_vectors")
SEEDS = 2
BUDGETS: tuple[int | None, ...] = (10, 30, 100)


def tasks_in(data: Path, names: Sequence[str] | None, test: int) -> tuple[Task, ...]:
    """Those of the folders, or any by name."""
    if names:
        return tuple(library(data).tasks(names, test))
    return tuple(library(data, FOLDERS).tasks(None, test, output.say))


def hours(
    model: str, tasks: tuple[Task, ...], asked: argparse.Namespace, budgets: tuple[int | None, ...] = BUDGETS
) -> dict[str, Any]:
    """From the model's own config and tokenizer, or, where those cannot be had, from another tokenizer's count."""

    def of(name: str) -> dict[str, Any]:
        return planned(Asked(name, tasks, budgets, conditions(asked), asked.seeds), "bfloat16")

    try:
        return of(model) | {"from": "its own config"}
    except FewfitError:
        if model not in BODIES:
            raise
        told = of(STAND_IN)
        more = BODIES[model] / STAND_IN_BODY
        operations = told["operations"] * more
        return told | {
            "model": model, "operations": operations, "hours": told["hours"] * more,
            "gpu_hours": gpu_hours(operations), "from": f"tokens of {STAND_IN}, {more:.0f} times as large",
        }  # fmt: skip


def conditions(asked: argparse.Namespace) -> Any:
    return by_kind(shots=(4,), lr=asked.lr, updates=(3,))


def table(made: Sequence[dict[str, Any]]) -> str:
    head = [
        "model",
        "tokens",
        "hours of one process on this CPU",
        "hours on a GPU of the H100's class",
        "reckoned from",
    ]
    lines = [
        [one["model"], f"{one['tokens'] / 1e6:.1f}M", f"{one['hours']:.0f}", f"{one['gpu_hours']:.2f}", one["from"]]
        for one in made
    ]
    return markdown([head, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(BODIES))
    parser.add_argument("--tasks", default=None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--budgets", type=lambda text: read_budgets(text, BUDGETS), default=BUDGETS)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--lr", type=lambda text: tuple(map(float, text.split(","))), default=(3e-4, 1e-3))
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--plan", action="store_true")
    asked = parser.parse_args()
    tasks = tasks_in(asked.data, asked.tasks.split(",") if asked.tasks else None, asked.test)
    models = asked.models.split(",")
    if asked.plan:
        print(table([hours(model, tasks, asked, asked.budgets) for model in models]))
        return
    each = [Asked(model, tasks, asked.budgets, conditions(asked), asked.seeds) for model in models]
    show_paper(run_all(each, asked.out, "auto", quiet=False), asked.out, as_json=False)


if __name__ == "__main__":
    main()
