"""Does the paper's pattern hold (arXiv 2505.00661, section 4)? Each claim as a difference with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Holds = Literal["holds", "does not hold", "not settled", "not run"]
Z = 1.96
LEARNT = 0.8  # of rephrased questions: the facts are known
CLOSE = 0.05  # of the ceiling: reached


@dataclass(frozen=True)
class Claim:
    letter: str
    says: str
    holds: Holds
    figures: str


@dataclass(frozen=True)
class Mean:
    """Over questions of all seeds; `low` and `high` are its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.0f} ({100 * self.low:.0f} to {100 * self.high:.0f})"


def mean(values: Sequence[float]) -> Mean:
    n = len(values)
    middle = sum(values) / n
    spread = math.sqrt(sum((value - middle) ** 2 for value in values) / max(1, n - 1) / n)
    return Mean(middle, middle - Z * spread, middle + Z * spread)


class Table:
    """Hits by world, split and condition: all seeds one after another, so that two conditions compare by question."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._rows: dict[tuple[str, str, str], dict[int, Mapping[str, Any]]] = {}
        for row in rows:
            self._rows.setdefault((row["world"], row["split"], row["condition"]), {})[row["seed"]] = row

    def seeds(self, *cells: tuple[str, str, str]) -> list[int]:
        """Those that all the cells have."""
        there = [set(self._rows.get(cell, {})) for cell in cells]
        return sorted(set.intersection(*there)) if there else []

    def hits(self, cell: tuple[str, str, str], seeds: Sequence[int]) -> list[float]:
        return [float(bit) for seed in seeds for bit in self._rows[cell][seed]["hits"]]

    def mean(self, world: str, split: str, condition: str) -> Mean | None:
        cell = (world, split, condition)
        seeds = self.seeds(cell)
        return mean(self.hits(cell, seeds)) if seeds else None

    def chance(self, world: str, split: str) -> float:
        for (one, other, _), rows in self._rows.items():
            if (one, other) == (world, split):
                return float(next(iter(rows.values()))["chance"])
        raise KeyError((world, split))

    def difference(self, places: Sequence[tuple[str, str]], better: str, worse: str) -> Mean | None:
        """Question by question, over all places that have both."""
        found: list[float] = []
        for world, split in places:
            cells = (world, split, better), (world, split, worse)
            seeds = self.seeds(*cells)
            found += [a - b for a, b in zip(*(self.hits(cell, seeds) for cell in cells), strict=True)]
        return mean(found) if found else None

    def against_chance(self, places: Sequence[tuple[str, str]], condition: str) -> Mean | None:
        found: list[float] = []
        for world, split in places:
            cell = (world, split, condition)
            chance = self.chance(world, split) if self.seeds(cell) else 0.0
            found += [hit - chance for hit in self.hits(cell, self.seeds(cell))]
        return mean(found) if found else None

    def places(self, wanted: Callable[[str, str], bool]) -> list[tuple[str, str]]:
        return list(dict.fromkeys((world, split) for world, split, _ in self._rows if wanted(world, split)))


ISOLATED = ("reversals", "curse")


def claims(rows: Iterable[Mapping[str, Any]]) -> list[Claim]:
    """The five of the issue; `places` are those where the facts are isolated (a to c, e), and the structure (d)."""
    table = Table(rows)
    isolated = table.places(lambda world, split: world in ISOLATED and split == "reversal")
    inferring = table.places(lambda world, split: split != "rephrasing")
    learnt = table.places(lambda world, split: world in ISOLATED and split == "rephrasing")
    return [
        near_chance(table, isolated, learnt),
        above(table, "b", "in the prompt, reversals are above fine-tuning", isolated, "icl", "ft", 0.0),
        above(
            table,
            "c",
            "fine-tuning with the model's own inferences is at least as good as the prompt",
            inferring,
            "ft+local+global",
            "icl",
            -CLOSE,
        ),
        embedded(table),
        ceiling(table, inferring),
    ]


def near_chance(table: Table, isolated: list[tuple[str, str]], learnt: list[tuple[str, str]]) -> Claim:
    says = (
        f"fine-tuned alone, facts are learnt (rephrasings {100 * LEARNT:.0f} or more) and reversals at chance or below"
    )
    over = table.against_chance(isolated, "ft")
    known = [m for place in learnt if (m := table.mean(*place, "ft")) is not None]
    if over is None or not known:
        return Claim("a", says, "not run", "")
    figures = f"rephrasings {' and '.join(map(str, known))}; reversals over chance by {over}"
    if all(one.value >= LEARNT for one in known) and over.low <= 0.1 and over.value < 0.1:
        return Claim("a", says, "holds" if over.high < 0.2 else "not settled", figures)
    return Claim("a", says, "does not hold", figures)


def above(
    table: Table, letter: str, says: str, places: list[tuple[str, str]], better: str, worse: str, least: float
) -> Claim:
    found = table.difference(places, better, worse)
    if found is None:
        return Claim(letter, says, "not run", "")
    verdict: Holds = (
        "holds" if found.low > least else "does not hold" if found.high < max(0.0, least) else "not settled"
    )
    return Claim(letter, says, verdict, f"{better} less {worse}: {found}, {len(places)} splits")


def embedded(table: Table) -> Claim:
    says = "reversals within a structure are easier for fine-tuning than isolated ones"
    inside = table.against_chance(table.places(lambda w, s: (w, s) == ("structure", "reversal")), "ft")
    alone = table.against_chance(table.places(lambda w, s: w in ISOLATED and s == "reversal"), "ft")
    if inside is None or alone is None:
        return Claim("d", says, "not run", "")
    gap = inside.value - alone.value
    spread = math.hypot((inside.high - inside.low) / 2, (alone.high - alone.low) / 2)
    verdict: Holds = "holds" if gap > spread else "does not hold" if gap < -spread else "not settled"
    return Claim("d", says, verdict, f"over chance by {inside} within, {alone} alone")


def ceiling(table: Table, places: list[tuple[str, str]]) -> Claim:
    says = f"told all inferences, the model answers {100 * LEARNT:.0f} of 100 or more"
    found = [hit for place in places for hit in table.hits((*place, "ft+truth"), table.seeds((*place, "ft+truth")))]
    if not found:
        return Claim("e", says, "not run", "")
    reached = mean(found)
    verdict: Holds = "holds" if reached.low > LEARNT else "does not hold" if reached.high < LEARNT else "not settled"
    return Claim("e", says, verdict, f"ft+truth: {reached}")
