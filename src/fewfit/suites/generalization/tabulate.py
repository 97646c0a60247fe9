"""The paper's claims by model and world, in Markdown:

python -m fewfit.suites.generalization.tabulate results/generalization.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fewfit.kept import ended
from fewfit.suites.claims import Claim
from fewfit.suites.generalization.cells import USUAL
from fewfit.suites.generalization.pattern import claims

OF_A_WORLD = "abce"  # (d) compares worlds


def tabulate(rows: Iterable[Mapping[str, Any]]) -> str:
    """Of other settings of training than the usual are only cells that were not run with those."""
    # Where a cell was run twice the last one counts.
    ordered = sorted((row for row in rows if not row.get("quick")), key=usual)
    lines = ["model | world | claim | verdict | figures", "--- | --- | --- | --- | ---"]
    of = [(row["model"], row["names"] + f", {row.get('scale')}" * (row.get("scale") == "paper")) for row in ordered]
    for model, names in sorted(set(of)):
        some = [row for row, whose in zip(ordered, of, strict=True) if whose == (model, names)]
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
    print(tabulate(ended(Path(sys.argv[1]).read_bytes())), end="")
