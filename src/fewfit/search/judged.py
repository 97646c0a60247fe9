"""Answers to instructions as what is scored: somebody answers behind the demonstrations, and a judge says how well.

The one place where a search, those who write answers and the judges (judges/judge.py) meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Protocol

from fewfit.judges import Answered, Judge, Question
from fewfit.judges.judge import NOTHING
from fewfit.search.pool import Added

AGAIN = 0.7  # the temperature of a judge that is asked again


class Answerer(Protocol):
    def answer(self, demonstrations: Added, questions: Sequence[Question]) -> Sequence[Sequence[str]]:
        """The answers to each question, turn by turn, behind the demonstrations of these ids and the start."""


class JudgedScorer:
    """A question's score is the mean over its first `turns`: the paper searches by the first one. None: over all.

    A verdict that could not be read counts 0, and how many there were stands in `unread`: all candidates are
    compared by the same questions.
    """

    def __init__(
        self, answerer: Answerer, judge: Judge, questions: Sequence[Question], *, turns: int | None = 1
    ) -> None:
        self.answerer, self.judge, self.turns = answerer, judge, turns
        self.by_id = {one.id: one for one in questions}
        self.unread = 0  # verdicts

    def score(self, added: Added, questions: Sequence[str], repeat: int = 0) -> list[float]:
        """`repeat`: a judge that varies is asked again by chance."""
        asked = [self.by_id[one] for one in questions]
        judge = self.judge.again(repeat, AGAIN) if repeat and hasattr(self.judge, "again") else self.judge
        answers = self.answerer.answer(added, asked)
        by = "+".join(added)
        found = []
        answered = [Answered(one, tuple(some), by) for one, some in zip(asked, answers, strict=True)]
        for verdicts in judge.judge(answered):
            wanted = [one for one in verdicts[: self.turns] if one.details.get("reason") != NOTHING]
            values = [one.score for one in wanted]
            self.unread += values.count(None)
            found.append(fmean(value or 0.0 for value in values) if values else 0.0)
        return found
