"""What the recorded results say together: the tables and pictures of docs/findings.md.

python -m benchmarks.findings --results results --to results/findings.md --figures docs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.findings import pictures, tables
from benchmarks.findings.runs import by_kind, by_setting, runs_of
from benchmarks.promise.cells import records
from benchmarks.records import publish
from fewfit.suites.studies import STUDIES
from fewfit.suites.studies.study import told

Row = dict[str, Any]


def of_studies(results: Path) -> str:
    """What each study says of its rows, as `fewfit suite study` does."""
    out = []
    for path in sorted(results.glob("study-*.jsonl")):
        asked = STUDIES[path.stem.removeprefix("study-")]
        rows = records(path)
        lines = told(asked, rows)
        out.append("\n".join([f"### {asked.name}: {asked.asks}", "", covered(rows), *(f"- {line}" for line in lines)]))
    return "\n\n".join(out)


def covered(rows: Sequence[Row]) -> str:
    names, sizes = sorted({row["task"] for row in rows}), sorted({row["n"] for row in rows})
    seeds = len({row["seed"] for row in rows})
    return f"{', '.join(names)}; n = {', '.join(map(str, sizes))}; {seeds} order{'s' * (seeds > 1)}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--to", type=Path, help="a Markdown file")
    parser.add_argument("--figures", type=Path, help="a folder for three SVG files")
    asked = parser.parse_args()
    runs = runs_of(asked.results)
    recorded, main_table = by_kind(runs), records(asked.results / "tasks.jsonl")
    sections = {
        "Kinds, each in the setting that its stream chose (benchmarks.promise)": tables.kinds(recorded),
        "By task (benchmarks.promise)": tables.every_task(recorded),
        "FT: one setting for everything, or the stream's choice": tables.settings(by_setting(runs, "ft")),
        "ICL+FT: one setting for everything, or the stream's choice": tables.settings(by_setting(runs, "icl+ft")),
        "Kinds in one setting (fewfit suite tasks)": tables.kinds(main_table),
        "By task (fewfit suite tasks)": tables.every_task(main_table),
        "One model tuned, another prompted (fewfit suite tasks)": tables.models(main_table),
        "Studies": of_studies(asked.results),
    }
    text = "\n\n".join(f"## {head}\n\n{section}" for head, section in sections.items())
    print(text)
    publish(asked.to and asked.to.with_suffix(".json"), __doc__ or "", text, runs=len(runs), rows=len(main_table))
    if asked.figures is not None:
        draw(asked.figures, runs, main_table, records(asked.results / "generalization.jsonl"))


def draw(folder: Path, runs: Sequence[Any], main_table: Sequence[Row], reversals: Sequence[Row]) -> None:
    kinds = pictures.kinds(main_table, "smollm2", 10)
    pictures.save(folder / "findings-kinds.svg", kinds, "Accuracy by task and kind")
    pictures.save(folder / "findings-reversals.svg", pictures.reversals(reversals), "Reversed questions by condition")
    pictures.save(folder / "findings-promises.svg", pictures.promises(runs, 60), "Promised and delivered scores")


if __name__ == "__main__":
    main()
