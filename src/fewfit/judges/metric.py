"""A judge as the metric of a run: `fewfit.fit(…, metric=as_metric(judge, questions))`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from fewfit.errors import UserError
from fewfit.judges.judge import Judge
from fewfit.judges.question import Answered, Question
from fewfit.metrics import Answer, Metric, deferred


def as_metric(judge: Judge, questions: Sequence[Question]) -> Metric:
    """Scores answers when the stream is over. A question is found by its text, which is the example's prompt. An answer
    that the judge could say nothing of counts as 0, with a warning."""
    asked: dict[str, Question] = {}
    for question in questions:
        if len(question.turns) != 1:
            raise UserError(
                f"{len(question.turns)} turns", where=f"question {question.id}", hint="examples have one turn"
            )
        asked[question.turns[0].strip()] = question

    def scores(answers: Sequence[Answer]) -> list[float]:
        verdicts = judge.judge([Answered(_asked(one, asked), (one.prediction,), by=one.lane) for one in answers])
        found = [turns[0].score for turns in verdicts]
        if unread := found.count(None):
            warnings.warn(
                f"{judge.name}: {unread} of {len(found)} answers have no verdict, and count as 0", stacklevel=2
            )
        return [score or 0.0 for score in found]

    return deferred(scores, name=judge.name)


def _asked(answer: Answer, asked: dict[str, Question]) -> Question:
    prompt = answer.example.prompt
    text = (prompt if isinstance(prompt, str) else prompt[-1].content).strip()
    if text not in asked:
        raise UserError(
            "no question of this prompt",
            where=f"example {answer.example.id}",
            hint="examples' prompts are questions' texts",
        )
    return asked[text]
