"""Recorded cells, read back: the rows of a stream as `select` takes them, and what each lane scored on the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.promise.folds import FOLDS
from benchmarks.promise.record import LANES, SIZES
from benchmarks.promise.tasks import CLOSED
from benchmarks.records import Lines
from fewfit.grid import Grid, Lane

PER_QUERY = Lane(shots=4, deliver="per-query")
FIXED = Lane(shots=4)
BEFORE = Grid(LANES)  # the prompting lane has a draw each
NOW = Grid(tuple(FIXED if lane == PER_QUERY else lane for lane in LANES))


@dataclass(frozen=True)
class Cell:
    """One run: the first n examples of a recorded stream, and the bundles that it would have delivered."""

    record: dict[str, Any]
    fixed: dict[str, Any]  # the prompting lane with one set for all queries
    n: int
    folds: dict[str, Any] | None = None  # hits and likelihoods of the n examples over five folds, where recorded
    grid: Grid = NOW

    @property
    def name(self) -> str:
        return f"{self.record['model']} {self.record['task']} {self.record['order']} n={self.n}"

    @property
    def before(self) -> Cell:
        return replace(self, grid=BEFORE)

    @property
    def model(self) -> str:
        return str(self.record["model"])

    @property
    def task(self) -> str:
        return str(self.record["task"])

    @property
    def tried_every_way(self) -> bool:
        """Of delivering, not only the one that is used."""
        return "fixed" in self.tests[PER_QUERY.name]

    @property
    def metric(self) -> str:
        return "choice" if self.task in CLOSED else "exact"

    @property
    def labels(self) -> list[str]:
        """None of free text. What the other labels had of the probability was not recorded one by one."""
        return sorted({*self.record["golds"], *(self.record["test_golds"] or ())}) if self.task in CLOSED else []

    @property
    def tests(self) -> dict[str, Any]:
        return self.record["tests"][str(self.n)]

    @property
    def lanes(self) -> list[str]:
        """Those that finished."""
        return [name for name in self.grid.names if name == FIXED.name or not self.tests[name].get("diverged")]

    @property
    def statuses(self) -> dict[str, str]:
        return {name: "done" if name in self.lanes else "diverged" for name in self.grid.names}

    def stream(self, lane: str) -> dict[str, Any]:
        return self.fixed[str(self.n)]["stream"] if lane == FIXED.name else self.record["stream"][lane]

    def rows(self) -> Iterator[dict[str, Any]]:
        golds = self.record["golds"]
        for lane in self.grid.names:
            told = self.stream(lane)
            for i, score in enumerate(told["score"][: self.n], 1):
                probs = None
                if self.labels:
                    right = told["right"][i - 1]
                    others = [label for label in self.labels if label != golds[i - 1]]
                    probs = {golds[i - 1]: right, **{label: (1 - right) / len(others) for label in others}}
                yield {
                    "lane": lane, "seed": 0, "i": i, "id": str(i), "score": score, "correct": score >= 1,
                    "nll": told["nll"][i - 1], "tokens": told["tokens"][i - 1], "gold": golds[i - 1],
                    "probs": probs,
                }  # fmt: skip

    def by_folds(self, first: int) -> str:
        """The lane with most hits in the first so many folds; among equals, that which finds the answers likeliest.

        The prompting lane was crossed with a draw each; it is delivered with one set, as everywhere here."""
        folds = self.folds or {}
        held = [k for k in range(self.n) if k % FOLDS < first]

        def worth(name: str) -> tuple[int, float]:
            asked = PER_QUERY.name if name == FIXED.name else name
            hits, nll = folds["hits"][asked], folds["nll"][asked]
            return sum(hits[k] == "1" for k in held), -sum(nll[k] for k in held)

        return max(self.lanes, key=worth)

    def tested(self, lane: str, how: str = "rotating") -> list[int]:
        """Hits on the test examples: as the lane is delivered, or with the first draw for all, on half of them."""
        if lane == FIXED.name:
            return list(map(int, self.fixed[str(self.n)]["test"]))
        told = self.tests[lane]
        if "plain" in told:
            return list(map(int, told["plain"]))
        return list(map(int, told["fixed"][0] if how == "fixed" else told[how]))

    def test(self, lane: str, how: str = "rotating") -> float:
        hits = self.tested(lane, how)
        return sum(hits) / len(hits)


def cells(path: Path, fixed: Path, folds: Path) -> list[Cell]:
    """Cells whose prompting lane was recorded with one set as well."""
    by_key = {key(one): one for one in records(fixed)}
    crossed = {(*key(one), one["n"]): one for one in records(folds)}
    found = [one for one in map(renamed, records(path)) if key(one) in by_key]
    return [Cell(one, by_key[key(one)], n, crossed.get((*key(one), n))) for one in found for n in SIZES]


def records(path: Path) -> list[dict[str, Any]]:
    return Lines(path, ()).cells


def key(record: dict[str, Any]) -> tuple[str, str, int, str]:
    return record["model"], record["task"], record["order"], record["dtype"]


def renamed(record: dict[str, Any]) -> dict[str, Any]:
    """The first cells were recorded when a draw each was the only way and had no name."""
    for part in (record["stream"], *record["tests"].values()):
        if FIXED.name in part:
            part[PER_QUERY.name] = part.pop(FIXED.name)
    return record
