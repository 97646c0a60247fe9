"""A task: examples to learn from, held-out examples to be tested on, and how answers are asked for and scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from fewfit import draw
from fewfit.errors import UserError
from fewfit.examples import Example, as_dict
from fewfit.examples.related import apart, related
from fewfit.files import one_line

LEFT = 30  # to learn from, where a set is too small to give as many test examples as asked: a budget of the paper
FEWEST = 6  # to learn from and to test on, together


@dataclass(frozen=True)
class Asking:
    """`choices` are labels of the whole task; a row's own stand in its example. `bare`: nothing is put before a prompt
    that the task does not have, as in the paper; else labels are listed as `fit` lists them."""

    metric: str = "match"
    choices: tuple[str, ...] | None = None
    answer_patterns: tuple[str, ...] = ()
    instruction: str | None = None
    bare: bool = True


@dataclass(frozen=True)
class Published:
    """A task as its files have it; `tested` where they say what is to be tested on."""

    name: str
    examples: tuple[Example, ...]
    asking: Asking = field(default_factory=Asking)
    tested: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Task:
    """`pool` is what streams are drawn from: of every seed its own examples, or (`one_set`) the same in another order.
    `tested_on`: the task whose test examples these are, where it is another."""

    name: str
    pool: tuple[Example, ...]
    test: tuple[Example, ...]
    asking: Asking
    one_set: bool = False
    tested_on: str = ""

    def stream(self, n: int, seed: int) -> tuple[Example, ...]:
        """The first n of one order, so that 10 examples are inside 30."""
        if self.one_set:
            return tuple(draw.order(self.stream_of(n, 0), seed))
        return self.stream_of(n, seed)

    def stream_of(self, n: int, seed: int) -> tuple[Example, ...]:
        return tuple(draw.order(self.pool, seed)[:n])

    def shown(self, n: int, seed: int) -> dict[str, str]:
        """Answers, by id, that demonstrations have in place of their own, for lanes whose chooser heeds it."""
        return {}

    def size(self, budget: int | None) -> int:
        """How many examples a budget comes to; None is all there are."""
        return len(self.pool) if budget is None else min(budget, len(self.pool))

    @property
    def digest(self) -> str:
        """Of all that a row hangs on but the model."""
        asking = self.asking
        rows = [as_dict(one) for one in (*self.pool, *self.test)]
        told: list[Any] = [asking.metric, asking.choices, asking.answer_patterns, asking.instruction, asking.bare, rows]
        told += ["one set"] if self.one_set else []
        return sha256(one_line(told).encode()).hexdigest()[:16]

    @property
    def majority(self) -> float | None:
        """What always giving the pool's most frequent answer would score on the test examples."""
        if self.asking.metric != "choice":
            return None
        answers = [one.completion for one in self.pool]
        most = max(sorted(set(answers)), key=answers.count)
        return sum(one.completion == most for one in self.test) / len(self.test)


def hold_out(published: Published, test: int) -> Task:
    """Test examples are drawn by hash before anything else, the same for every budget and seed. Rows of one prompt or
    group stay together: none is tested on that was learnt from."""
    name, examples, tested = published.name, published.examples, published.tested
    if tested:
        some = draw.shuffled(tested, lambda one: one.id, seed=0, purpose=f"test of {name}")[:test]
    else:
        wanted = min(test, max(len(examples) - LEFT, len(examples) // 3))
        some = draw_whole_units(examples, wanted, name)
    pool = apart(examples, some)
    if len(pool) + len(some) < FEWEST or not some or len(pool) < FEWEST // 2:
        raise UserError(f"{len(examples)} examples", where=name, hint=f"a task needs {FEWEST} or more")
    return Task(name, tuple(pool), tuple(some), published.asking)


def draw_whole_units(examples: Sequence[Example], wanted: int, name: str) -> list[Example]:
    units: dict[int, list[Example]] = {}
    for one, first in zip(examples, related(examples), strict=True):
        units.setdefault(first, []).append(one)
    found: list[Example] = []
    for unit in draw.shuffled(list(units.values()), mark_of, seed=0, purpose=f"test of {name}"):
        if len(found) + len(unit) <= wanted:
            found += unit
    return found


def mark_of(unit: Sequence[Example]) -> str:
    first = unit[0]
    return f"group {first.group}" if first.group is not None else f"prompt {first.prompt}"


def shortest(task: Task, pool: int, test: int) -> Task:
    """The examples with the shortest prompts: for a quick look."""

    def some(examples: Iterable[Example], most: int) -> tuple[Example, ...]:
        return tuple(sorted(examples, key=lambda one: (len(str(one.prompt)), one.id))[:most])

    return replace(task, pool=some(task.pool, pool), test=some(task.test, test))


def hastened(task: Task) -> Task:
    """Free text is not written out where teacher forcing says whether it would be right."""
    asking = task.asking
    if asking.metric != "match":
        return task
    return replace(task, asking=replace(asking, metric="exact", answer_patterns=()))


def numbered(pairs: Iterable[tuple[str, str]], prefix: str = "") -> tuple[Example, ...]:
    """Examples of pairs, known by where they stand in their file; exact repeats once."""
    distinct = dict.fromkeys((prompt.strip(), answer.strip()) for prompt, answer in pairs)
    return tuple(Example(f"{prefix}{n}", *pair) for n, pair in enumerate(distinct, start=1) if all(pair))
