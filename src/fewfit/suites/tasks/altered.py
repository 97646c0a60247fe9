"""Tasks made of other tasks whose test examples stay as they are, so that they compare example by example.

A-to-B                learnt from A's examples, tested on B's; both have the same labels (else A-to-B-as-A)
wrong20-NAME          a fifth of the examples to learn from has a wrong answer (wrong40: two fifths, those among them)
wrong20-shown-NAME    only where they stand as demonstrations
wrong20-taught-NAME   only where they are what is trained on
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from hashlib import sha256

from fewfit import draw
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.errors import UserError
from fewfit.examples import Example
from fewfit.examples.related import apart
from fewfit.files import one_line
from fewfit.suites.tasks.task import Task

BLOCK = 5  # examples
AS_SHOWN = "as-shown"  # the chooser of lanes that heed `Task.shown`
WRONG = re.compile(r"wrong(\d\d)-(?:(shown|taught)-)?(.+)")


def altered(name: str, task: Callable[[str], Task]) -> Task | None:
    """The task of that name, if it is one of these."""
    if found := WRONG.fullmatch(name):
        return wrong(name, task(found[3]), int(found[1]) / 100, found[2])
    learnt, _, tested = name.partition("-to-")
    return crossed(name, task(learnt), task(tested)) if learnt and tested else None


def crossed(name: str, learnt: Task, tested: Task) -> Task:
    one, other = (labels(each) for each in (learnt, tested))
    if one != other or not one:
        shown = [", ".join(sorted(each)) or "no labels" for each in (one, other)]
        hint = "name two tasks of equal labels"
        if len(one & other) > 1:
            wider, narrower = (tested, learnt) if other - one else (learnt, tested)
            hint += f", as {wider.name}-as-{narrower.name} has"
        raise UserError(f"{name}: {shown[0]} in the one, {shown[1]} in the other", hint=hint)
    pool = tuple(apart(learnt.pool, tested.test))
    return replace(learnt, name=name, pool=pool, test=tested.test, tested_on=tested.tested_on or tested.name)


def labels(task: Task) -> set[str]:
    return set(task.asking.choices or ())


@dataclass(frozen=True)
class Mistaken(Task):
    """Of each BLOCK in the order of a stream the same share is wrong, so that any number of examples has it. Which
    ones, and what they say instead, is drawn by hash; a larger share holds the smaller one's."""

    share: float = 0.0
    where: str | None = None

    def stream_of(self, n: int, seed: int) -> tuple[Example, ...]:
        some = super().stream_of(n, seed)
        if self.where == "shown":
            return some
        turned = self.turned(some)
        return tuple(replace(one, completion=turned.get(one.id, one.completion)) for one in some)

    def shown(self, n: int, seed: int) -> dict[str, str]:
        some = super().stream_of(n, 0 if self.one_set else seed)
        turned = self.turned(some)
        right = {one.id: one.completion for one in some if one.id in turned}
        return turned if self.where == "shown" else right if self.where == "taught" else {}

    def turned(self, some: Sequence[Example]) -> dict[str, str]:
        found: list[Example] = []
        for start in range(0, len(some), BLOCK):
            block = draw.shuffled(some[start : start + BLOCK], lambda one: one.id, seed=0, purpose="wrong answers")
            found += block[: round(self.share * len(block))]
        return {one.id: other_answer(one, self) for one in found}

    @property
    def digest(self) -> str:
        return sha256(one_line([super().digest, self.share, self.where]).encode()).hexdigest()[:16]


def wrong(name: str, task: Task, share: float, where: str | None) -> Mistaken:
    same = {one.name: getattr(task, one.name) for one in fields(task)}
    return Mistaken(**{**same, "name": name, "tested_on": task.tested_on or task.name}, share=share, where=where)


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
def choosers_of(task: Task, n: int, seed: int) -> Iterator[None]:
    """Within, lanes may name AS_SHOWN."""
    CHOOSERS[AS_SHOWN] = AsShown(task.shown(n, seed))
    try:
        yield
    finally:
        del CHOOSERS[AS_SHOWN]
