"""Does the paper's pattern hold (arXiv 2505.00661, section 4)? Each claim as a difference with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean
from typing import Any

from fewfit.suites.claims import Claim, Holds, Mean, mean, settled

LEARNT = 0.8  # of rephrased questions: the facts are known
NEAR_CHANCE = 0.2  # above it at the most
CLOSE = 0.05  # behind, and still as good


Cell = tuple[str, str, str]  # world, split, condition
Run = tuple[int, str, str]  # seed, world and dtype


class Table:
    """Hits by world, split and condition: all seeds one after another, so that two conditions compare by question. What
    was run in several dtypes counts once, by its mean, and a seed's world of another size apart."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._rows: dict[Cell, dict[Run, Mapping[str, Any]]] = {}
        self.diverged: dict[str, None] = {}  # conditions
        for row in rows:
            if row.get("status") == "diverged":
                self.diverged[row["condition"]] = None
            else:
                cell = (row["world"], row["split"], row["condition"])
                self._rows.setdefault(cell, {})[row["seed"], row.get("data", ""), row.get("dtype", "")] = row

    def runs(self, *cells: Cell) -> list[Run]:
        """Those that all the cells have."""
        there = [set(self._rows.get(cell, {})) for cell in cells]
        return sorted(set.intersection(*there)) if there else []

    def hits(self, cell: Cell, runs: Sequence[Run]) -> list[float]:
        found: list[float] = []
        for _, same in groupby(runs, key=lambda run: run[:2]):
            found += [
                fmean(map(int, bits)) for bits in zip(*(self._rows[cell][run]["hits"] for run in same), strict=True)
            ]
        return found

    def mean(self, world: str, split: str, condition: str) -> Mean | None:
        cell = (world, split, condition)
        runs = self.runs(cell)
        return mean(self.hits(cell, runs)) if runs else None

    def chance(self, world: str, split: str) -> float:
        for (one, other, _), rows in self._rows.items():
            if (one, other) == (world, split):
                return float(next(iter(rows.values()))["chance"])
        raise KeyError((world, split))

    def differences(self, places: Sequence[tuple[str, str]], better: str, worse: str) -> dict[int, list[float]]:
        """Question by question, over all places that have both; by seed."""
        found: dict[int, list[float]] = {}
        for world, split in places:
            cells = (world, split, better), (world, split, worse)
            for seed, some in groupby(self.runs(*cells), key=lambda run: run[0]):
                one, other = (self.hits(cell, runs) for runs in [list(some)] for cell in cells)
                found.setdefault(seed, []).extend(a - b for a, b in zip(one, other, strict=True))
        return found

    def over_chance(self, places: Sequence[tuple[str, str]], condition: str) -> Mean | None:
        """0 is a guess, 1 is all right, however many options there are."""
        found: list[float] = []
        least = 0.0
        for world, split in places:
            cell = (world, split, condition)
            chance = self.chance(world, split) if self.runs(cell) else 0.0
            least = min(least, -chance / (1 - chance))
            found += [(hit - chance) / (1 - chance) for hit in self.hits(cell, self.runs(cell))]
        return mean(found, least) if found else None

    def places(self, wanted: Callable[[str, str], bool]) -> list[tuple[str, str]]:
        return list(dict.fromkeys((world, split) for world, split, _ in self._rows if wanted(world, split)))


ISOLATED = ("reversals", "curse", "published")


def claims(rows: Iterable[Mapping[str, Any]]) -> list[Claim]:
    """The five of the paper; (c) and (e) are of all splits but rephrasings, (a) and (b) of isolated reversals."""
    table = Table(rows)
    isolated = table.places(lambda world, split: world in ISOLATED and split == "reversal")
    inferring = table.places(lambda world, split: split != "rephrasing")
    learnt = table.places(lambda world, split: world in ISOLATED and split == "rephrasing")
    as_good = f"fine-tuning with the model's own inferences is at most {100 * CLOSE:.0f} points behind the prompt"
    made = [
        near_chance(table, isolated, learnt),
        above(table, "b", "in the prompt, reversals are above fine-tuning", isolated, ("icl", "ft"), 0.0),
        above(table, "c", as_good, inferring, ("ft+local+global", "icl"), -CLOSE),
        embedded(table),
        ceiling(table, inferring),
    ]
    why = f"{' and '.join(lost)} diverged" if (lost := table.diverged) else ""
    return [replace(one, figures=why) if one.holds == "not run" else one for one in made]


def near_chance(table: Table, isolated: list[tuple[str, str]], learnt: list[tuple[str, str]]) -> Claim:
    says = (
        f"fine-tuned alone, facts are learnt (rephrasings {100 * LEARNT:.0f} or more), and reversals are not: at most "
        f"{100 * NEAR_CHANCE:.0f} of the 100 points between a guess and all right"
    )
    over = table.over_chance(isolated, "ft")
    known = [m for place in learnt if (m := table.mean(*place, "ft")) is not None]
    if over is None or not known:
        return Claim("a", says, "not run", "")
    figures = f"rephrasings {' and '.join(map(str, known))}; reversals {over}"
    reversals: Holds = (
        "does not hold" if over.low > NEAR_CHANCE else "holds" if over.high < NEAR_CHANCE else "not settled"
    )
    parts = {reversals, *(settled(one, LEARNT) for one in known)}
    verdict: Holds = "does not hold" if "does not hold" in parts else "holds" if parts == {"holds"} else "not settled"
    return Claim("a", says, verdict, figures)


def above(
    table: Table, letter: str, says: str, places: list[tuple[str, str]], pair: tuple[str, str], least: float
) -> Claim:
    by_seed = table.differences(places, *pair)
    if not by_seed:
        return Claim(letter, says, "not run", "")
    found = mean([one for some in by_seed.values() for one in some], -1.0)
    each = ", ".join(f"{100 * fmean(some):.0f}" for some in by_seed.values())
    figures = f"{pair[0]} less {pair[1]}: {found}" + f", by seed {each}" * (len(by_seed) > 1)
    return Claim(letter, says, settled(found, least), figures)


def embedded(table: Table) -> Claim:
    says = "reversals within a structure are easier for fine-tuning than isolated ones"
    inside = table.over_chance(table.places(lambda w, s: (w, s) == ("structure", "reversal")), "ft")
    alone = table.over_chance(table.places(lambda w, s: w in ISOLATED and s == "reversal"), "ft")
    learnt = table.mean("structure", "rephrasing", "ft")
    if inside is None or alone is None:
        return Claim("d", says, "not run", "")
    if learnt is not None and settled(learnt, LEARNT) == "does not hold":
        return Claim("d", says, "not settled", f"the structure was not learnt: rephrasings {learnt}")
    gap = inside.value - alone.value
    low = gap - math.hypot(inside.value - inside.low, alone.high - alone.value)
    high = gap + math.hypot(inside.high - inside.value, alone.value - alone.low)
    verdict = settled(Mean(gap, low, high), 0.0)
    return Claim("d", says, verdict, f"of the points between a guess and all right {inside} within, {alone} alone")


def ceiling(table: Table, places: list[tuple[str, str]]) -> Claim:
    says = f"told all inferences, the model answers {100 * LEARNT:.0f} of 100 or more"
    found = [hit for place in places for hit in table.hits((*place, "ft+truth"), table.runs((*place, "ft+truth")))]
    if not found:
        return Claim("e", says, "not run", "")
    reached = mean(found)
    return Claim("e", says, settled(reached, LEARNT), f"ft+truth: {reached}")
