"""What judges make of a cell's answers: a row for each turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewfit.judges import Answered, Comparer, Judge, noise, tally
from fewfit.judges.win_rate import win_rates
from fewfit.suites.instruct.agreement import figure

Z = 1.96
TWICE, SEED, TEMPERATURE = 10, 1, 0.7  # questions of a cell that a judge is asked twice, and how the second time


def judged(answered: Sequence[Answered], judge: Judge) -> list[dict[str, Any]]:
    """`length` is the correlation of score and length, over all turns; `again` are the first questions' scores the
    second time, of a judge that can be asked again, by chance or in other words (judge.again)."""
    verdicts = judge.judge(answered)
    again = judge.again(SEED, TEMPERATURE).judge(answered[:TWICE]) if hasattr(judge, "again") else []
    length = noise.length_correlation(answered, verdicts)
    lengths = [[len(text.split()) for text in some.answers] for some in answered]
    return [
        {
            "turn": told.turn,
            "score": None if told.score is None else round(told.score, 4),
            "stderr": None if told.stderr is None else round(told.stderr, 4),
            "n": told.n,
            "unread": told.unread,
            "scores": scores(verdicts, turn),
            "words": mean([some[turn] for some in lengths if len(some) > turn]),
            "length": figure(length),
            **({"again": scores(again, turn)} if again else {}),
        }
        for turn, told in enumerate(tally(verdicts)[:-1])
    ]


def preferred(answered: Sequence[Answered], others: Sequence[Answered], comparer: Comparer) -> list[dict[str, Any]]:
    """Length-controlled win rates over the others' answers, of 1."""
    verdicts = comparer.compare(answered, others)
    place = noise.position(verdicts)
    usual = {"turned": figure(place.turned), "first": figure(place.first)}
    rows = []
    for turn, rate in enumerate(win_rates(verdicts, answered, others)):
        row = {"turn": turn + 1, "scores": scores(verdicts, turn), **usual}
        if rate is None:
            rows.append(row | {"score": None, "stderr": None, "n": 0, "unread": sum(len(v) > turn for v in verdicts)})
            continue
        low, high = (end / 100 for end in rate.interval)
        rows.append(
            row
            | {
                "score": round(rate.rate / 100, 4),
                "stderr": round((high - low) / (2 * Z), 4),
                "n": rate.n,
                "unread": rate.unread,
                "interval": [round(low, 4), round(high, 4)],
                "raw": round(rate.raw / 100, 4),
            }
        )
    return rows


def scores(verdicts: noise.Verdicts, turn: int) -> list[float | None]:
    return [some[turn].score if len(some) > turn else None for some in verdicts]


def mean(values: Sequence[float], digits: int = 1) -> float:
    return round(sum(values) / len(values), digits) if values else 0.0
