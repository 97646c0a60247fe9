"""Do two judges, or two sets of questions, put the conditions in the same order, and does a judge agree with itself?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from fewfit.judges import Verdict, noise

LEAST = 3  # conditions that have an order
WIN_RATE = "win-rate:"


def agreements(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Kendall's tau of the first turns that are judged, and of first seeds."""
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["n"]:
            place = (row["questions"], row["judge"])
            first[place] = min(row["turn"], first.get(place, row["turn"]))
    by_judge: dict[tuple[str, str, str], dict[str, Sequence[float | None]]] = {}
    for row in rows:
        # A win rate is of a model fitted to all questions: no mean of verdicts.
        is_mean = row["study"] in ("comparison", "scaling", "quality") and not row["judge"].startswith(WIN_RATE)
        if row["n"] and row["turn"] == first[row["questions"], row["judge"]] and row["seed"] == 0 and is_mean:
            of = (row["study"], row["questions"], row["judge"])
            by_judge.setdefault(of, {})[row["condition"]] = row["scores"]
    found = []
    for (one, mine), (two, others) in combinations(by_judge.items(), 2):
        same = [name for name in mine if name in others]
        if one[0] != two[0] or len(same) < LEAST:
            continue
        tables = [[[math.nan if x is None else x for x in of[name]] for name in same] for of in (mine, others)]
        tau = noise.rank_agreement(*tables, same_questions=one[1] == two[1])
        told = {"study": one[0], "questions": [one[1], two[1]], "judges": [one[2], two[2]], "conditions": len(same)}
        found.append(told | {"tau": figure(tau)})
    return found


def with_itself(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each judge that was asked twice, over all conditions; the verdicts of a question count as one."""
    asked: dict[tuple[str, str], dict[int, list[tuple[Verdict, Verdict]]]] = {}
    for row in rows:
        for number, again in enumerate(row.get("again", ())):
            of_question = asked.setdefault((row["questions"], row["judge"]), {}).setdefault(number, [])
            of_question.append((Verdict(row["scores"][number]), Verdict(again)))
    found = []
    for (questions, judge), by_question in asked.items():
        first, second = ([[pair[k] for pair in some] for some in by_question.values()] for k in (0, 1))
        told = noise.agreement(first, second, "")
        figures = {name: figure(getattr(told, name)) for name in ("same", "apart", "correlation")}
        found.append({"judge": judge, "questions": questions, "n": told.same.n, **figures})
    return found


def figure(told: noise.Figure) -> dict[str, Any]:
    return {
        "value": None if told.value is None else round(told.value, 3),
        "interval": None if told.interval is None else [round(end, 3) for end in told.interval],
    }
