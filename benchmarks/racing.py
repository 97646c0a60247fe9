"""What does racing save, and what does it cost? The rule, replayed on full runs.

    python -m benchmarks.racing --lines FILE [--json FILE]        lines and predictions of `benchmarks.adapts`
    python -m benchmarks.racing --runs runs/a runs/b               any runs made with `--no-race`

A lane's predictions do not depend on what runs beside it, so a run without racing holds the run with it: its rows are
told to `stats/race.py`, and the choice is made again from what is left. Lanes are taken to walk in step, as the stream
makes them do as far as it can: what a faster lane had done beyond the example at which it was dropped is not saved, and
counts as saved here.

The work is counted in sequences (a lane's steps, one row each) and in tokens of these rows. Price: how often another
lane is chosen, and the test score of what is then chosen less that of what would have been.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.adapts import sixteen
from benchmarks.choose import paired
from benchmarks.records import Lines, markdown, publish

Row = dict[str, Any]


def replay(rows: Sequence[Row], lanes: Sequence[Any], metric: str) -> dict[str, int]:
    """Which lanes leave, each with the example at which that is decided."""
    from fewfit.stats.race import Race

    n = max(row["i"] for row in rows)
    race = Race(lanes, sorted({row["seed"] for row in rows}), n, metric)
    for row in rows:
        race.tell(row)  # rows beyond a decision are not looked at when it is made
    return race.leaving()


def raced(rows: Sequence[Row], left: dict[str, int]) -> list[Row]:
    """The rows that a run with racing keeps."""
    return [row for row in rows if row["i"] <= left.get(row["lane"], row["i"])]


def work(rows: Sequence[Row], lanes: Sequence[Any]) -> tuple[int, float]:
    """Sequences, and tokens of them: each row is predicted, and trained on with its updates."""
    by_name = {lane.name: lane for lane in lanes}
    times = [max(1, by_name[row["lane"]].updates) for row in rows]
    tokens = [row["prompt_tokens"] + row["tokens"] for row in rows]
    return sum(times), sum(t * k for t, k in zip(times, tokens, strict=True))


def examine(rows: Sequence[Row], lanes: Sequence[Any], metric: str) -> dict[str, Any]:
    from fewfit.select import select

    left = replay(rows, lanes, metric)
    kept = raced(rows, left)
    statuses = {lane.name: "dropped" if lane.name in left else "done" for lane in lanes}
    whole = select(rows, lanes, metric=metric)
    after = select(kept, lanes, metric=metric, statuses=statuses)
    (steps, tokens), (steps_left, tokens_left) = work(rows, lanes), work(kept, lanes)
    return {
        "dropped": left,
        "chosen": whole.best.name,
        "chosen_raced": after.best.name,
        "best_of_kind": dict(whole.best_of_kind),
        "best_of_kind_raced": dict(after.best_of_kind),
        "score": whole.best.score,
        "score_raced": after.best.score,
        "steps_saved": 1 - steps_left / steps,
        "tokens_saved": 1 - tokens_left / tokens,
    }


def of_lines(path: Path) -> list[dict[str, Any]]:
    """Every cell of `benchmarks.adapts`, with the test scores that it has of every lane."""
    lanes = sixteen()
    out = []
    for cell in Lines(path, ()).cells:
        name = f"{cell['task']}-{cell['n']}-{cell['seed']}.jsonl.gz"
        with gzip.open(path.parent / "predictions" / name, "rt") as file:
            rows = [json.loads(line) for line in file]
        found = examine(rows, lanes, cell["metric"])
        test = {"test": cell["test"][found["chosen"]], "test_raced": cell["test"][found["chosen_raced"]]}
        out.append({**{key: cell[key] for key in ("task", "n", "seed")}, **found, **test})
    return out


def of_runs(folders: Sequence[Path]) -> list[dict[str, Any]]:
    from fewfit.grid import Lane
    from fewfit.predictions import read

    out = []
    for folder in folders:
        record = json.loads((folder / "run.json").read_text())
        if record["race"]:
            raise SystemExit(f"{folder} was raced: make it with --no-race")
        lanes = [Lane.from_json(one) for one in record["lanes"]]
        found = examine(read(folder), lanes, record["metric"])
        out.append({"task": folder.name, "n": record["data"]["n"], "seed": None, **found})
    return out


def table(cells: Sequence[dict[str, Any]]) -> str:
    head = ["n", "cells", "lanes dropped", "sequences saved", "tokens saved", "choice changed"]
    rows = [[*head, "test, full", "raced", "difference"]]
    for n in sorted({cell["n"] for cell in cells}):
        some = [cell for cell in cells if cell["n"] == n]
        changed = sum(cell["chosen"] != cell["chosen_raced"] for cell in some)
        row = [
            str(n),
            str(len(some)),
            f"{mean(len(cell['dropped']) for cell in some):.1f}",
            f"{mean(cell['steps_saved'] for cell in some):.0%}",
            f"{mean(cell['tokens_saved'] for cell in some):.0%}",
            f"{changed} of {len(some)}",
        ]
        if all("test" in cell for cell in some):
            middle, reach = paired([100 * (cell["test_raced"] - cell["test"]) for cell in some])
            row += [f"{100 * mean(cell[key] for cell in some):.1f}" for key in ("test", "test_raced")]
            row += [f"{middle:+.1f} ({middle - reach:+.1f} to {middle + reach:+.1f})"]
        rows.append(row + [""] * (9 - len(row)))
    changes = [
        f"{cell['task']}, n = {cell['n']}, seed {cell['seed']}: {cell['chosen']} → {cell['chosen_raced']}"
        + (f" ({100 * cell['test']:.1f} → {100 * cell['test_raced']:.1f})" if "test" in cell else "")
        for cell in cells
        if cell["chosen"] != cell["chosen_raced"]
    ]
    return markdown(rows) + "".join(
        f"\n\n{one}" for one in (["Changed choices: " + "; ".join(changes)] if changes else [])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--lines", type=Path)
    source.add_argument("--runs", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cells = of_lines(asked.lines) if asked.lines else of_runs(asked.runs)
    if not cells:
        raise SystemExit(f"no cells in {asked.lines}: benchmarks.adapts writes them")
    text = table(cells)
    print(text)
    publish(asked.json, __doc__, text, cells=cells)


if __name__ == "__main__":
    main()
