"""What a page is made from: the files of a run, read once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fewfit.examples import Example, restore
from fewfit.grid import KINDS, Lane
from fewfit.predictions import read
from fewfit.run import folders
from fewfit.select.verdict import shortened


@dataclass(frozen=True)
class Evidence:
    """`with_text` False: nothing of the examples, nor of what was answered to them, may be shown. `tokenizers` are
    those at hand, by the name that their model's lanes carry; others are loaded where a prompt is rendered again."""

    folder: Path
    record: dict[str, Any]
    result: dict[str, Any]
    rows: Mapping[str, list[dict[str, Any]]]  # by lane
    examples: Mapping[str, Example]  # by id
    with_text: bool
    tokenizers: Mapping[str | None, Any]

    @staticmethod
    def of(folder: Path, *, with_text: bool = True, tokenizers: Mapping[str | None, Any] | None = None) -> Evidence:
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in read(folder):
            rows[row["lane"]].append(row)
        examples = restore(folder / folders.EXAMPLES).examples if with_text else ()
        return Evidence(
            folder=folder,
            record=folders.record(folder),
            result=folders.result(folder),
            rows=rows,
            examples={one.id: one for one in examples},
            with_text=with_text,
            tokenizers=tokenizers or {},
        )

    @cached_property
    def lanes(self) -> dict[str, dict[str, Any]]:
        """What is known of each, as result.json has it, by name."""
        return {lane["name"]: lane for lane in self.result["lanes"]}

    @cached_property
    def coordinates(self) -> dict[str, Lane]:
        made = (Lane.from_json(one) for one in self.record["lanes"])
        return {lane.name: lane for lane in made}

    @property
    def best(self) -> dict[str, Any]:
        return self.lanes[self.result["best"]]

    @cached_property
    def best_of_kind(self) -> dict[str, str]:
        """Kind and lane, in the order in which kinds are shown; kinds without a lane that ended are missing."""
        named = self.result.get("best_of_kind")
        if not named:  # of older runs, and where none leads yet
            named = {self.best["kind"]: self.best["name"]} if self.result["best"] else {}
        return {kind: named[kind] for kind in KINDS if kind in named}

    @property
    def is_flat(self) -> bool:
        """Questions about documents: no stream."""
        return bool(self.record.get("documents"))

    @property
    def what(self) -> str:
        return "questions" if self.is_flat else "examples"

    @cached_property
    def labels(self) -> list[str] | None:
        """The classes, where the examples have them in common."""
        return self.record["data"].get("choices")

    @cached_property
    def models(self) -> str:
        return ", ".join(str(one["name"]) for one in self.record["models"])

    @property
    def place(self) -> str:
        """The run's folder, in a page that may be shown around its name alone."""
        return str(self.folder) if self.with_text else self.folder.name

    @property
    def data(self) -> str:
        of = self.record["data"]
        return (of["path"] if self.with_text else None) or of["source"]

    @property
    def documents(self) -> str | None:
        """What is read, where `data` are questions about it; None also of runs that did not keep its name."""
        path = (self.record.get("documents") or {}).get("path")
        return path if self.with_text or path is None else Path(path).name

    def says(self, text: str) -> str:
        """A sentence of the run's. A commonest answer that is no label is text of the examples."""
        answer = self.result.get("majority_answer")
        if self.with_text or self.labels is not None or not answer:
            return text
        return text.replace(f"always answering {shortened(answer)!r}", "always giving the commonest answer")

    def scores(self, lane: str) -> list[tuple[int, float]]:
        """Place and score, from the first on, the mean over seeds."""
        found: dict[int, list[float]] = defaultdict(list)
        for row in self.rows.get(lane, ()):
            score = row["score"]
            found[row["i"]].append(score if isinstance(score, int | float) and math.isfinite(score) else 0.0)
        return [(i, sum(some) / len(some)) for i, some in sorted(found.items())]

    def delivered(self, lane: str) -> list[dict[str, Any]]:
        """The rows of the seed whose weights are delivered."""
        seed = min(self.record["seeds"])
        return [row for row in self.rows.get(lane, ()) if row["seed"] == seed]
