"""What a metric is: a number in [0, 1] for an answer, given at once, or later for all answers together.

`needs` says what the engine has to supply:

    choices    the arg-max among the row's choices
    teacher    one forward over the right answer: a hit, or the text up to the first wrong token
    text       greedy text up to the end mark. A teacher-forced hit is that text already, so only misses are generated.

A metric that judges `later` sees every lane's answers when the stream is over: a judge that is dear, or that compares
one lane's answer with another's. Until then its scores are unknown, so lanes cannot race.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import CodeType
from typing import Any, Literal, NamedTuple

from fewfit.errors import UserError
from fewfit.examples.example import Example

OWN = "own:"  # before the name of a function of the user's: it must not be taken for one of ours

Needs = Literal["choices", "teacher", "text"]
Score = Callable[[str, Example, Sequence[str] | None], float]


class Answer(NamedTuple):
    """One lane's answer to one example."""

    lane: str
    seed: int
    example: Example
    prediction: str


@dataclass(frozen=True)
class Metric:
    """`how` scores an answer by itself, `later` all of them together, in their order; a metric has the one or the
    other. `against` is the lane that the others are compared with, if there is one."""

    name: str
    needs: Needs
    how: Score | None = None
    later: Callable[[Sequence[Answer]], Sequence[float]] | None = None
    against: str | None = None
    code: str = ""  # of the user's function: what is kept of one is not another's of the same name

    @property
    def is_deferred(self) -> bool:
        return self.later is not None

    def score(self, prediction: str, example: Example, choices: Sequence[str] | None = None) -> float:
        """NaN where it is not known yet."""
        return math.nan if self.how is None else self._checked(self.how(prediction, example, choices), example)

    def scores(self, answers: Sequence[Answer]) -> list[float]:
        if self.later is None:
            return [self.score(one.prediction, one.example, one.example.choices) for one in answers]
        found = list(self.later(answers))
        if len(found) != len(answers):
            raise UserError(
                f"metric {self.name} gave {len(found)} scores for {len(answers)} answers", hint="give one for each"
            )
        return [self._checked(value, one.example) for value, one in zip(found, answers, strict=True)]

    def _checked(self, value: Any, example: Example) -> float:
        number = float(value) if isinstance(value, (int, float)) or hasattr(value, "__float__") else math.nan
        if not 0.0 <= number <= 1.0:
            raise UserError(
                f"metric {self.name} gave {value!r}", where=f"example {example.id}", hint="a score lies in [0, 1]"
            )
        return number


def own(function: Callable[[str, Example], Any]) -> Metric:
    """A function f(prediction, example) of the user's."""
    if not callable(function):
        raise UserError(
            f"a metric of type {type(function).__name__}", hint="give a name or a function f(prediction, example)"
        )

    def how(prediction: str, example: Example, _: Any) -> Any:
        return function(prediction, example)

    return Metric(OWN + name_of(function), "text", how, code=code_of(function))


def deferred(function: Callable[[Sequence[Answer]], Sequence[float]], *, name: str | None = None) -> Metric:
    """A function that scores all answers at once, when the stream is over."""
    return Metric(f"{OWN}deferred({name or name_of(function)})", "text", later=function, code=code_of(function))


def pairwise(
    compare: Callable[[str, str, Example], float], *, against: str = "zero-shot", name: str | None = None
) -> Metric:
    """`compare(mine, other, example)` is 1 where the lane's answer is better than that of the lane `against`, 0 where
    it is worse, between them where neither is; against itself a lane scores one half."""

    def later(answers: Sequence[Answer]) -> list[float]:
        by_lane = {(one.lane, one.seed, one.example.id): one.prediction for one in answers}
        found = []
        for one in answers:
            _, at, model = one.lane.partition("@")  # with several models each has a lane `against` of its own
            other = (against + at + model, one.seed, one.example.id)
            if other not in by_lane:
                raise UserError(
                    f"no answer of {other[0]} to compare with", where=f"example {one.example.id}",
                    hint="choose against= among the lanes that run to their end",
                )  # fmt: skip
            same = one.lane == other[0]
            found.append(0.5 if same else compare(one.prediction, by_lane[other], one.example))
        return found

    whole = f"{OWN}pairwise({name or name_of(compare)})"
    return Metric(whole, "text", later=later, against=against, code=code_of(compare))


def name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")


def known_code(one: Metric) -> str | None:
    """Of a user's function, as long as Python writes it the same."""
    return f"{sys.version_info.major}.{sys.version_info.minor}/{one.code}" if one.code else None


def code_of(function: Any) -> str:
    """A digest of what a function does, as far as its own code tells; empty where that cannot be seen."""
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return "" if code is None else sha256(repr(parts_of(code)).encode()).hexdigest()[:16]


def parts_of(code: CodeType) -> tuple[Any, ...]:
    """The order of a set is another one in every process."""
    constants = [
        parts_of(one) if isinstance(one, CodeType) else sorted(map(repr, one)) if isinstance(one, frozenset) else one
        for one in code.co_consts
    ]
    return code.co_code, code.co_names, constants
