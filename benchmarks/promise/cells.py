"""Recorded cells, read back: the rows of a stream as `select` takes them, and what each lane scored on the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.promise.record import GRID, SIZES
from benchmarks.promise.tasks import CLOSED


@dataclass(frozen=True)
class Cell:
    """One run: the first n examples of a recorded stream, and the bundles that it would have delivered."""

    record: dict[str, Any]
    n: int

    @property
    def name(self) -> str:
        return f"{self.record['model']} {self.record['task']} {self.record['order']} n={self.n}"

    @property
    def task(self) -> str:
        return str(self.record["task"])

    @property
    def metric(self) -> str:
        return "choice" if self.task in CLOSED else "exact"

    @property
    def lanes(self) -> list[str]:
        """Those that finished."""
        return [name for name in GRID.names if not self.record["tests"][str(self.n)][name].get("diverged")]

    @property
    def statuses(self) -> dict[str, str]:
        return {name: "done" if name in self.lanes else "diverged" for name in GRID.names}

    def rows(self) -> Iterator[dict[str, Any]]:
        golds = self.record["golds"]
        for lane, told in self.record["stream"].items():
            for i, score in enumerate(told["score"][: self.n], 1):
                right = told["right"][i - 1] if told["right"] else None
                yield {
                    "lane": lane, "seed": 0, "i": i, "id": str(i), "score": score, "correct": score >= 1,
                    "nll": told["nll"][i - 1], "tokens": told["tokens"][i - 1], "gold": golds[i - 1],
                    "probs": None if right is None else {golds[i - 1]: right, "\0other": 1 - right},
                }  # fmt: skip

    def tested(self, lane: str, how: str = "rotating") -> list[int]:
        """Hits on the test examples: by rotating draws, or by `fixed` (the first draw) on half of them."""
        told = self.record["tests"][str(self.n)][lane]
        if "plain" in told:
            return list(map(int, told["plain"]))
        return list(map(int, told["fixed"][0] if how == "fixed" else told[how]))

    def test(self, lane: str, how: str = "rotating") -> float:
        hits = self.tested(lane, how)
        return sum(hits) / len(hits)

    def fixed(self, lane: str) -> list[float]:
        """The score of each of the first draws, on the same half of the test examples."""
        return [sum(map(int, one)) / len(one) for one in self.record["tests"][str(self.n)][lane]["fixed"]]


def cells(path: Path) -> list[Cell]:
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [Cell(record, n) for record in records for n in SIZES]
