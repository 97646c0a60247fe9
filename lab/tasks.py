"""Held-out families as examples: what benchmarks and the demo adapt the bundled model to.

    python -m lab.tasks     writes the demo's files anew

A name and a seed fix the hidden rule and the order of examples; training never saw the family, nor the words.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from lab.corpus import HELD_OUT
from lab.document import Source
from lab.words import digest

HELD_OUT_TASKS = tuple(name.replace(" ", "-") for name in HELD_OUT)
DEMO = {
    # name of the files: (task, seed, training examples)
    "kinds": ("four-held-out-kinds", 1, 60),
    "rotate": ("rotate", 1, 60),
    "facts": ("held-out-reversal", 5, 50),
}
TEST_EXAMPLES = 200


def held_out_task(name: str, seed: int, n: int) -> list[dict]:
    """`n` examples with distinct prompts; asking for more gives the same ones first."""
    known = {task.replace(" ", "-"): family for task, family in HELD_OUT.items()}
    if name not in known:
        raise ValueError(f"no held-out task {name!r}; there are {', '.join(known)}")
    task = known[name](Source(Random(digest("task", name, seed)), fresh=True))
    rows: list[dict] = []
    seen: set[str] = set()
    for _ in range(100 * n + 1000):
        if len(rows) == n:
            return rows
        item = task.make()
        if item.x in seen:
            continue
        seen.add(item.x)
        row: dict = {"prompt": item.x, "completion": item.y}
        if task.labels:
            row["choices"] = list(task.labels)
        rows.append(row)
    if len(rows) < n:
        raise ValueError(f"{name} has only {len(rows)} different prompts with seed {seed}; {n} were asked for")
    return rows


def write_demo(folder: Path) -> list[Path]:
    """The demo's files: for every entry of `DEMO` training examples, and a test file of other examples."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for name, (task, seed, n) in DEMO.items():
        rows = held_out_task(task, seed, n + TEST_EXAMPLES)
        for path, part in ((folder / f"{name}.jsonl", rows[:n]), (folder / f"{name}-test.jsonl", rows[n:])):
            path.write_text("".join(json.dumps(row) + "\n" for row in part))
            out.append(path)
    return out


if __name__ == "__main__":
    for path in write_demo(Path(__file__).parents[1] / "src" / "fewfit" / "demo" / "data"):
        print(path)
