"""What arXiv 2512.19879 reports of the same tasks, with models ten to a hundred times as large: theirs, never ours."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

KINDS = ("ft", "icl+ft")  # whose streams are tabulated
MEANS = {"bbh_mean": slice(0, 23), "nlp_mean": slice(23, 34)}  # of which of the tabulated tasks


@cache
def published() -> dict[str, Any]:
    text = (files("fewfit.suites.tasks") / "published.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def source() -> str:
    return f"arXiv {published()['arxiv']}"


def prequential(task: str, model: int = 0) -> dict[str, float] | None:
    """Accuracy over their whole stream, by kind, of the smallest model (0) to the largest (2)."""
    told = published()["prequential"].get(task)
    return None if told is None else {kind: told[kind][model] / 100 for kind in KINDS}


def tasks_of(mean: str) -> list[str]:
    names = [name for name in published()["prequential"] if name != "what"]
    return names[MEANS[mean]]


def beside(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Their figures of the tasks in these rows, as the command's JSON has them."""
    tasks = [name for name in dict.fromkeys(row["task"] for row in rows) if prequential(name)]
    if not tasks:
        return None
    told = published()
    return {
        "theirs": source(),
        "models": told["models"],
        "bbh_mean": told["bbh_mean"],
        "nlp_mean": told["nlp_mean"],
        "prequential": {name: told["prequential"][name] for name in tasks},
    }
