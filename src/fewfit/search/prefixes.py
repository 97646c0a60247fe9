"""The search behind `--demos searched`: greedy, by the likelihood of the answers, on the first examples of an order.

A set does not stand before its own examples, so sets are compared on what each of them can be asked (`likeliest`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fewfit import draw
from fewfit.demonstrations.delivery import likeliest, searched_after
from fewfit.demonstrations.searched import CANDIDATES, QUESTIONS
from fewfit.engine.likelihood import behind
from fewfit.engine.task import Searched, SetKey, Task
from fewfit.examples.example import Example

Nats = Callable[[Sequence[Example], Sequence[Example]], Sequence[float]]


def searched_sets(model: Any, task: Task, key: SetKey, stopped: Callable[[], None] = lambda: None) -> list[Searched]:
    """One for each prefix of the seed's order, made of it and of nothing else. `stopped` raises where it is time to."""
    order = task.order(key.seed)

    def nats(demos: Sequence[Example], questions: Sequence[Example]) -> Sequence[float]:
        stopped()
        return behind(model, task, demos, questions)

    ends = searched_after(len(order), key.shots)
    return [Searched(end, searched_set(order[:end], key.shots, key.seed, nats)) for end in ends]


def searched_set(known: Sequence[Example], shots: int, seed: int, nats: Nats) -> tuple[Example, ...]:
    """Candidates and questions are drawn by hash; a prefix this short is asked as far as it goes."""
    questions = draw.shuffled(known, lambda one: one.id, seed=seed, purpose="questions of a search")[:QUESTIONS]
    field = draw.shuffled(known, lambda one: one.id, seed=seed, purpose="candidates of a search")
    demos: tuple[Example, ...] = ()
    for _ in range(shots):
        able = [one for one in field if not any(one.conflicts_with(other) for other in demos)][:CANDIDATES]
        if not able:
            break
        sets = [(one, *demos) for one in able]
        told: list[list[float | None]] = []
        for some in sets:
            apart = [not any(demo.conflicts_with(one) for demo in some) for one in questions]
            found = iter(nats(some, [one for one, is_apart in zip(questions, apart, strict=True) if is_apart]))
            told.append([next(found) if is_apart else None for is_apart in apart])
        demos = sets[likeliest(told, len(questions) + 1)]
    return demos
