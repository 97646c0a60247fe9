"""Does what the paper found hold here (arXiv 2405.19874)? Each claim as a difference, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy.special import stdtrit

from fewfit.suites.claims import Claim, Holds, Mean, mean, settled
from fewfit.suites.instruct import references
from fewfit.suites.instruct.studies import TUNED

JUDGE = "rules"
LEVEL = 0.05  # more than so much is no plateau
BASE = "base"


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

    def by_question(self, study: str, condition: str, turn: int) -> dict[tuple[Any, ...], float]:
        """Of each question and decoding the mean over seeds: these are no further questions."""
        told: dict[tuple[Any, ...], list[float]] = {}
        for (questions, _, *sampling), scores in self.scores(study, condition, turn).items():
            for number, score in enumerate(scores):
                if score is not None:
                    told.setdefault((questions, number, *sampling), []).append(score)
        return {place: sum(some) / len(some) for place, some in told.items()}

    def difference(self, study: str, one: str, other: str, turn: int) -> Mean | None:
        mine, others = self.by_question(study, one, turn), self.by_question(study, other, turn)
        found = [mine[place] - others[place] for place in mine if place in others]
        return mean(found, -1.0) if found else None

    def weighed(self, study: str, weights: Mapping[tuple[str, int], float]) -> list[float]:
        """Of each question the sum of its scores under some (condition, turn), each so many times."""
        cells = [(self.by_question(study, *place), weight) for place, weight in weights.items()]
        places = [place for place in cells[0][0] if all(place in scores for scores, _ in cells)]
        return [sum(weight * scores[place] for scores, weight in cells) for place in places]

    def grid(self, condition: str) -> dict[tuple[Any, ...], dict[tuple[Any, ...], float]]:
        """By decoding, the first turn's scores by question."""
        found: dict[tuple[Any, ...], dict[tuple[Any, ...], float]] = {}
        for (questions, number, *sampling), score in self.by_question("decoding", condition, 1).items():
            found.setdefault(tuple(sampling), {})[questions, number] = score
        return found


def claims(rows: Sequence[Mapping[str, Any]], judge: str = JUDGE) -> list[Claim]:
    if judge == references.JUDGE:
        return likely(Table(rows, judge))
    table = Table(rows, judge)
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
        above(table, "g", "searched examples beat three random ones", "comparison", "searched", "urial+random-3", 1),
        plateau(table, drawn),
    ]


def above(table: Table, letter: str, says: str, study: str, one: str, other: str, turn: int) -> Claim:
    found = table.difference(study, one, other, turn)
    if found is None:
        return Claim(letter, says, "not run", "")
    return Claim(letter, says, settled(found, 0.0), f"{one} less {other}, turn {turn}: {found}")


def decoding(table: Table) -> Claim:
    """By the variance that settings make beyond chance. The range from best to worst would not do: of chance alone
    there is one, too, the larger the nearer scores are to one half."""
    says = "fine-tuning makes decoding matter less"
    grids = [table.grid(BASE), table.grid(TUNED)]
    settings = [one for one in grids[0] if one in grids[1]]
    asked = sorted(set.intersection(*(set(grid[one]) for grid in grids for one in settings))) if settings else []
    if len(settings) < 2 or len(asked) < 2:
        return Claim("f", says, "not run", "")
    scores_GSQ = np.array([[[grid[one][place] for place in asked] for one in settings] for grid in grids])
    base, tuned = (variance_of_settings(some) for some in scores_GSQ)
    apart = [
        variance_of_settings(np.delete(scores_GSQ[0], one, axis=1))
        - variance_of_settings(np.delete(scores_GSQ[1], one, axis=1))
        for one in range(len(asked))
    ]
    # The jackknife over questions: they are what was drawn.
    half = float(stdtrit(len(asked) - 1, 0.975)) * ((len(asked) - 1) * float(np.var(apart))) ** 0.5
    found = Mean(base - tuned, base - tuned - half, base - tuned + half)
    low, high = (1e4 * end for end in (found.low, found.high))
    first, second = (100 * max(one, 0.0) ** 0.5 for one in (base, tuned))
    figures = f"beyond chance settings deviate by {first:.0f} points as it came, {second:.0f} tuned; "
    figures += f"the variances, in points squared, are apart by {low:.0f} to {high:.0f}"
    return Claim("f", says, settled(found, 0.0), figures)


def variance_of_settings(scores_SQ: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Of their true means, in the two-way layout of settings and questions; below 0 where chance alone made more."""
    settings, asked = scores_SQ.shape
    means_S = scores_SQ.mean(axis=1)
    rest_SQ = scores_SQ - means_S[:, None] - scores_SQ.mean(axis=0) + means_S.mean()
    noise = float(np.square(rest_SQ).sum()) / ((settings - 1) * (asked - 1))
    return float(means_S.var(ddof=1)) - noise / asked


def plateau(table: Table, more: str) -> Claim:
    says = f"more than ten examples add less than {100 * LEVEL:.0f} points"
    found = table.difference("scaling", more, "random-10", 1)
    if found is None:
        return Claim("h", says, "not run", "")
    verdict: Holds = "holds" if found.high < LEVEL else "does not hold" if found.low > LEVEL else "not settled"
    return Claim("h", says, verdict, f"{more} less random-10, turn 1: {found}")


# ---- by the likelihood of reference answers --------------------------------------------------------------------------

TEN, FOREIGN, TENTH = "random-10", "random-10:out-of-domain", 0.1


def likely(table: Table) -> list[Claim]:
    """The same questions, put to how likely the right answers are (references.py)."""
    study = "likelihood"
    drawn = next((one for one in ("random-50", "random-30", "random-20") if table.scores(study, one, 1)), "random-30")
    told: list[tuple[str, dict[tuple[str, int], float]]] = [
        ("ten examples make right answers likelier in the first turn", {(TEN, 1): 1, (BASE, 1): -1}),
        ("and in the second", {(TEN, 2): 1, (BASE, 2): -1}),
        ("they do more for the first turn", {(TEN, 1): 1, (BASE, 1): -1, (TEN, 2): -1, (BASE, 2): 1}),
        (
            f"{drawn.removeprefix('random-')} examples add less than a tenth of what ten did",
            {(TEN, 1): 1 + TENTH, (BASE, 1): -TENTH, (drawn, 1): -1},
        ),
        ("right answers do more than one another's", {(TEN, 1): 1, (f"{TEN}:shifted", 1): -1}),
        ("answers alone do more than questions alone", {(f"{TEN}:answers", 1): 1, (f"{TEN}:questions", 1): -1}),
        ("wrong answers of the style do more than of another", {(f"{TEN}:in-domain", 1): 1, (FOREIGN, 1): -1}),
        ("in the second turn fine-tuning is above the prompt", {(TUNED, 2): 1, (TEN, 2): -1}),
        ("searched examples beat three random ones", {("searched", 1): 1, ("urial+random-3", 1): -1}),
    ]  # fmt: skip
    return [
        nats(letter, says, table.weighed(study, weights))
        for letter, (says, weights) in zip("ijklmnopq", told, strict=True)
    ]


def nats(letter: str, says: str, values: Sequence[float]) -> Claim:
    """By Student's t over questions: log-likelihoods have no bounds."""
    if len(values) < 2:
        return Claim(letter, says, "not run", "")
    found = interval(values)
    return Claim(letter, says, settled(found, 0.0), f"by {in_nats(found)} nats a token")


def interval(values: Sequence[float]) -> Mean:
    middle = fmean(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / len(values) ** 0.5
    return Mean(middle, middle - half, middle + half)


def in_nats(found: Mean) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
