"""How long sequences are: a sample of them, really rendered."""

from __future__ import annotations

from dataclasses import dataclass

from fewfit.engine.score import one_token_apart
from fewfit.engine.task import Task

SAMPLE = 12  # sequences that are rendered for each number of shots


@dataclass(frozen=True)
class Length:
    """Tokens of a sequence, the answer included, at so many shots."""

    shots: int
    mean: float
    longest: int
    scoring: float  # further tokens to score the choices, on average
    generated: int  # at the most, where an answer has to be written
    answers: int = 0  # tokens of all answers in the longest


def length(task: Task, shots: int) -> Length:
    """Of sequences all along the stream: the first ones have fewer demonstrations to show."""
    n = len(task)
    places = sorted({1 + round(k * (n - 1) / (SAMPLE - 1)) for k in range(SAMPLE)})
    rendered = [task.render(0, i, 1, shots, i) for i in places]
    tokens = [len(one.ids) for one in rendered]
    most = max(rendered, key=lambda one: len(one.ids))
    extra = [scoring_tokens(task, i, shots) for i in places]
    return Length(
        shots=shots,
        mean=sum(tokens) / len(tokens),
        longest=max(tokens),
        answers=sum(end - start for start, end in most.spans),
        scoring=sum(extra) / len(extra),
        generated=task.renderer.settings.max_new_tokens if task.judge.needs == "text" else 0,
    )


def scoring_tokens(task: Task, i: int, shots: int) -> int:
    """Nothing where the choices differ in one token; else each of them is run over the prompt's keys and values."""
    if not task.choices(task.order(0)[i - 1]):
        return 0
    ids = task.choice_ids(0, i, shots, "random", False, 0)
    return 0 if one_token_apart(ids) is not None else sum(map(len, ids))
