"""What was reached, and the paper's claims, by model and world, in Markdown:

python -m fewfit.suites.generalization.tabulate results/generalization.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fewfit.kept import ended
from fewfit.suites.claims import Claim
from fewfit.suites.generalization.cells import USUAL
from fewfit.suites.generalization.pattern import Table, claims

OF_A_WORLD = "abce"  # (d) compares worlds
SHOWN = ("none", "icl", "ft", "ft+local", "ft+local+global", "ft+diluted", "ft+truth")

Row = Mapping[str, Any]


def groups(rows: Iterable[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Model, names, and their rows. Of other settings of training than the usual are only cells that were not run with
    those; what was only looked at is left out."""
    # Where a cell was run twice the last one counts.
    ordered = sorted((row for row in rows if not row.get("quick")), key=usual)
    of = [(row["model"], row["names"] + f", {row.get('scale')}" * (row.get("scale") == "paper")) for row in ordered]
    for model, names in sorted(set(of)):
        yield model, names, [row for row, whose in zip(ordered, of, strict=True) if whose == (model, names)]


def reached(rows: Iterable[Row]) -> str:
    """Accuracy with its interval, of all seeds that a condition was run with."""
    lines = [" | ".join(("world", "model", "split", *SHOWN, "chance")), " | ".join(["---"] * (len(SHOWN) + 4))]
    found = [
        (world, names, model, [row for row in some if row["world"] == world])
        for model, names, some in groups(rows)
        for world in {row["world"]: None for row in some}
    ]
    for world, names, model, some in sorted(found, key=lambda one: one[:3]):
        table = Table(some)
        for split in {row["split"]: None for row in some}:
            means = [table.mean(world, split, condition) for condition in SHOWN]
            told = [str(one) if one else "–" for one in means]
            lines.append(
                " | ".join((f"{world}, {names}", model, split, *told, f"{100 * table.chance(world, split):.0f}"))
            )
    return "".join(f"| {line} |\n" for line in lines)


def tabulate(rows: Iterable[Row]) -> str:
    lines = ["model | world | claim | verdict | figures", "--- | --- | --- | --- | ---"]
    for model, names, some in groups(rows):
        found: list[tuple[str, Sequence[Claim]]] = [
            (world, [one for one in claims([row for row in some if row["world"] == world]) if one.letter in OF_A_WORLD])
            for world in sorted({row["world"] for row in some})
        ]
        found.append(("all", [one for one in claims(some) if one.letter not in OF_A_WORLD]))
        for world, judged in found:
            lines += [
                f"{model} | {world}, {names} | {one.letter} | {one.holds} | {one.figures}"
                for one in judged
                if one.holds != "not run"
            ]
    return "".join(f"| {line} |\n" for line in lines)


def usual(row: Mapping[str, Any]) -> bool:
    asked = {"lr": USUAL.lr, "passes": USUAL.updates, "batch": USUAL.batch, "rank": USUAL.rank}
    return row["passes"] == 0 or all(row.get(name, value) == value for name, value in asked.items())


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit(__doc__)
    every = ended(Path(sys.argv[1]).read_bytes())
    print(reached(every), tabulate(every), sep="\n", end="")
