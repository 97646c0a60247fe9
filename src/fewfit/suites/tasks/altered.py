"""Tasks made of other tasks whose test examples stay as they are, so that they compare example by example.

A-to-B                learnt from A's examples, tested on B's; both have the same labels
wrong20-NAME          a fifth of the examples to learn from has a wrong answer (wrong40: two fifths, those among them)
wrong20-shown-NAME    only where they stand as demonstrations
wrong20-taught-NAME   only where they are what is trained on
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from fewfit import draw
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.errors import UserError
from fewfit.examples import Example
from fewfit.examples.related import apart
from fewfit.suites.tasks.task import Task

AS_SHOWN = "as-shown"  # the chooser of lanes that heed `Task.shown`
WRONG = re.compile(r"wrong(\d\d)-(?:(shown|taught)-)?(.+)")


def altered(name: str, task: Callable[[str], Task]) -> Task | None:
    """The task of that name, if it is one of these."""
    if found := WRONG.fullmatch(name):
        return wrong(name, task(found[3]), int(found[1]) / 100, found[2])
    learnt, _, tested = name.partition("-to-")
    return crossed(name, task(learnt), task(tested)) if learnt and tested else None


def tested_task(name: str) -> str:
    """Whose test examples a task has."""
    found = WRONG.fullmatch(name)
    return found[3] if found else name.rpartition("-to-")[2]


def crossed(name: str, learnt: Task, tested: Task) -> Task:
    one, other = (labels(each) for each in (learnt, tested))
    if one != other or not one:
        shown = [", ".join(sorted(each)) or "no labels" for each in (one, other)]
        raise UserError(
            f"{name}: {shown[0]} in the one, {shown[1]} in the other", hint="name two tasks of equal labels"
        )
    return replace(learnt, name=name, pool=tuple(apart(learnt.pool, tested.test)), test=tested.test)


def labels(task: Task) -> set[str]:
    return set(task.asking.choices or ())


def wrong(name: str, task: Task, share: float, where: str | None) -> Task:
    """Which ones, and what they say instead, is drawn by hash; a larger share holds the smaller one's."""
    some = draw.shuffled(task.pool, lambda one: one.id, seed=0, purpose="wrong answers")
    turned = {one.id: other_answer(one, task) for one in some[: round(share * len(some))]}
    if where == "shown":
        return replace(task, name=name, shown=tuple(sorted(turned.items())))
    pool = tuple(replace(one, completion=turned.get(one.id, one.completion)) for one in task.pool)
    right = tuple(sorted((one.id, one.completion) for one in task.pool if one.id in turned))
    return replace(task, name=name, pool=pool, shown=right if where == "taught" else ())


def other_answer(example: Example, task: Task) -> str:
    """Another label, or another example's answer."""
    known = example.choices or task.asking.choices or [one.completion for one in task.pool]
    others = sorted(set(known) - {example.completion})
    if not others:
        raise UserError(f"{task.name} has one answer only", hint="wrong ones need another")
    return others[draw.number("wrong answer", example.id) % len(others)]


class AsShown:
    """Drawn at random; answers are those that demonstrations are to have."""

    per_query = False

    def __init__(self, shown: Mapping[str, str]):
        self.shown = shown

    def choose(self, candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
        found = CHOOSERS["random"].choose(candidates, target, shots, at)
        return [replace(one, completion=self.shown.get(one.id, one.completion)) for one in found]


@contextmanager
def choosers_of(task: Task) -> Iterator[None]:
    """Within, lanes may name AS_SHOWN."""
    CHOOSERS[AS_SHOWN] = AsShown(dict(task.shown))
    try:
        yield
    finally:
        del CHOOSERS[AS_SHOWN]
