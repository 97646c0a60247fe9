"""Verdicts added up: the mean by turn, and how many could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from fewfit.judges.judge import NOTHING, Verdict


@dataclass(frozen=True)
class Tally:
    """`turn` counts from 1; None is all of them. The mean of the `n` verdicts that were read, with its standard error;
    of all turns, questions count as one each for the error, since their turns are alike."""

    turn: int | None
    score: float | None
    stderr: float | None
    n: int
    unread: int


def tally(verdicts: Sequence[Sequence[Verdict]]) -> list[Tally]:
    """One for each turn, and the last for all."""
    turns = max((len(one) for one in verdicts), default=0)
    by_turn = [[(one[turn],) for one in verdicts if len(one) > turn] for turn in range(turns)]
    return [added(turn, some) for turn, some in enumerate(by_turn, start=1)] + [added(None, verdicts)]


def added(turn: int | None, verdicts: Sequence[Sequence[Verdict]]) -> Tally:
    verdicts = [[one for one in some if one.details.get("reason") != NOTHING] for some in verdicts]
    read = [[verdict.score for verdict in one if verdict.score is not None] for one in verdicts]
    scores = [score for one in read for score in one]
    unread = sum(len(one) for one in verdicts) - len(scores)
    if not scores:
        return Tally(turn, None, None, 0, unread)
    centre = mean(scores)
    # How far each question's verdicts pull the mean: as stdev of the scores where each has one.
    pulls = [sum(one) - centre * len(one) for one in read if one]
    error = stdev(pulls) * len(pulls) ** 0.5 / len(scores) if len(pulls) > 1 else None
    return Tally(turn, centre, error, len(scores), unread)
