"""Does what the paper found hold here (arXiv 2405.19874)? Each claim as a difference, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fewfit.suites.claims import Claim, Mean, mean, settled
from fewfit.suites.instruct.studies import TUNED

JUDGE = "rules"
LEVEL = 0.03  # more than so much is no plateau


class Table:
    """Scores by question of each condition: sets and seeds one after another, so that conditions compare."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], judge: str = JUDGE) -> None:
        self._rows: dict[tuple[str, str, int], dict[tuple[Any, ...], Sequence[float | None]]] = {}
        for row in rows:
            if row["judge"] == judge:
                cell = self._rows.setdefault((row["study"], row["condition"], row["turn"]), {})
                sampling = (row["temperature"], row["top_p"], row["repetition_penalty"])
                cell[row["questions"], row["seed"], *sampling] = row["scores"]

    def scores(self, study: str, condition: str, turn: int) -> dict[tuple[Any, ...], Sequence[float | None]]:
        return self._rows.get((study, condition, turn), {})

    def difference(self, study: str, one: str, other: str, turn: int, turn_of_other: int | None = None) -> Mean | None:
        """Where one of them is the same for all seeds, it is compared with every seed of the other."""
        mine, others = self.scores(study, one, turn), self.scores(study, other, turn_of_other or turn)
        found: list[float] = []
        for place in mine if len(mine) >= len(others) else others:
            first, second = (of.get(place, of.get((place[0], 0, *place[2:]))) for of in (mine, others))
            pairs = zip(first or (), second or (), strict=False)
            found += [a - b for a, b in pairs if a is not None and b is not None]
        return mean(found, -1.0) if found else None

    def spread(self, condition: str) -> float | None:
        """Of the means over the decoding grid, in the first turn: the highest less the lowest."""
        by_sampling: dict[tuple[Any, ...], list[float]] = {}
        for place, scores in self.scores("decoding", condition, 1).items():
            by_sampling.setdefault(place[2:], []).extend(one for one in scores if one is not None)
        means = [sum(some) / len(some) for some in by_sampling.values() if some]
        return max(means) - min(means) if len(means) > 1 else None


def claims(rows: Iterable[Mapping[str, Any]]) -> list[Claim]:
    table = Table(rows)
    drawn = next((one for one in ("random-30", "random-20") if table.scores("scaling", one, 1)), "random-30")
    return [
        above(table, "a", "examples in the prompt help the first turn", "comparison", "urial", "base", 1),
        above(table, "b", "they hurt the second turn", "comparison", "base", "urial", 2),
        above(table, "c", "in the second turn fine-tuning is above the prompt", "comparison", TUNED, "urial", 2),
        above(
            table, "d", "answers alone do more than questions alone", "quality", "urial:answers", "urial:questions", 1
        ),
        above(table, "e", "right answers do more than others' answers", "quality", "urial", "urial:shifted", 1),
        decoding(table),
        above(table, "g", "searched examples beat as many random ones", "comparison", "searched", "random-3", 1),
        plateau(table, drawn),
    ]


def above(table: Table, letter: str, says: str, study: str, one: str, other: str, turn: int) -> Claim:
    found = table.difference(study, one, other, turn)
    if found is None:
        return Claim(letter, says, "not run", "")
    return Claim(letter, says, settled(found, 0.0), f"{one} less {other}, turn {turn}: {found}")


def decoding(table: Table) -> Claim:
    says = "fine-tuning makes decoding matter less"
    base, tuned = table.spread("base"), table.spread(TUNED)
    if base is None or tuned is None:
        return Claim("f", says, "not run", "")
    figures = f"from the best to the worst setting {100 * base:.0f} points as it came, {100 * tuned:.0f} tuned"
    return Claim("f", says, "holds" if tuned < base else "does not hold", figures)


def plateau(table: Table, more: str) -> Claim:
    says = "more than ten examples add little"
    found = table.difference("scaling", more, "random-10", 1)
    if found is None:
        return Claim("h", says, "not run", "")
    inside = found.low > -LEVEL and found.high < LEVEL
    outside = found.low > LEVEL
    verdict = "holds" if inside else "does not hold" if outside else "not settled"
    return Claim("h", says, verdict, f"{more} less random-10, turn 1: {found}")  # type: ignore[arg-type]
