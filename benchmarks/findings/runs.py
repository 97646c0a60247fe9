"""Cells of benchmarks.promise as rows of a suite: of each kind its best lane by z23 over the stream, as delivered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.promise.cells import cells
from benchmarks.promise.report import Run, run_of
from fewfit.grid import KINDS
from fewfit.stats import choose

Row = dict[str, Any]


def runs_of(results: Path) -> list[Run]:
    names = ("promise.jsonl", "promise-fixed.jsonl", "promise-folds.jsonl")
    return [run_of(cell) for cell in cells(*(results / name for name in names))]


def by_kind(runs: Sequence[Run]) -> list[Row]:
    return [row(run, kind, chosen(run, kind)) for run in runs for kind in KINDS if lanes_of(run, kind)]


def by_setting(runs: Sequence[Run], kind: str) -> list[Row]:
    """Each setting of the kind, always; and the one that each stream chose."""
    rows = [row(run, lane, lane) for run in runs for lane in lanes_of(run, kind)]
    return rows + [row(run, "chosen", chosen(run, kind)) for run in runs if lanes_of(run, kind)]


def lanes_of(run: Run, kind: str) -> list[str]:
    return [lane.name for lane in run.table.lanes if lane.kind == kind and lane.name in run.cell.lanes]


def chosen(run: Run, kind: str) -> str:
    names = lanes_of(run, kind)
    among_L = np.array([lane.name in names for lane in run.table.lanes])
    return run.table.lanes[choose(run.table.stream, "z23", among_L)].name


def row(run: Run, condition: str, lane: str) -> Row:
    """`seed` is the order of the stream."""
    hits, cell = run.cell.tested(lane), run.cell
    return {
        "model": cell.model,
        "task": cell.task,
        "n": cell.n,
        "seed": cell.record["order"],
        "condition": condition,
        "lane": lane,
        "accuracy": sum(hits) / len(hits),
        "scores": "".join(map(str, hits)),
    }
