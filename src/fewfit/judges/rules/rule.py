"""One rule: a question that a program answers about an answer, and the sentence that asks for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fewfit.errors import UserError

Detect = Callable[[str], str | None]
WHOLE = "whole"  # what a rule touches that says what the entire answer is: it stands beside no other
RELATIONS = {"less than": "fewer than", "at least": "at least"}


@dataclass(frozen=True)
class Rule:
    """`holds(answer, **arguments)`; one that asks for the answer's language also takes `detect`. `says` is a sentence
    with the arguments in braces. `touches` names what of an answer the rule is about: rules that share a word of it may
    be impossible to keep together."""

    holds: Callable[..., bool]
    says: str
    touches: str

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        return tuple(name for name in list(inspect.signature(self.holds).parameters)[1:] if name != "detect")

    @cached_property
    def needs_language(self) -> bool:
        return "detect" in inspect.signature(self.holds).parameters

    def held(self, answer: str, arguments: Mapping[str, Any], detect: Detect) -> bool:
        """An answer of nothing keeps no rule, as in the published evaluations."""
        if not answer.strip():
            return False
        return bool(self.holds(answer, **arguments, **({"detect": detect} if self.needs_language else {})))

    def describe(self, arguments: Mapping[str, Any]) -> str:
        return self.says.format(**{name: shown(value) for name, value in arguments.items()})

    def check(self, name: str, arguments: Mapping[str, Any], where: str) -> None:
        """Refuse arguments that the rule does not take, or lacks, or of which it can make nothing."""
        if wrong := sorted(set(self.arguments) ^ set(arguments)):
            what = "without" if wrong[0] in self.arguments else "with an unknown"
            raise UserError(
                f"check {name} {what} {wrong[0]!r}", where=where, hint=f"it takes {', '.join(self.arguments) or 'none'}"
            )
        for argument, value in arguments.items():
            if argument.endswith("relation") and value not in RELATIONS:
                raise UserError(
                    f"check {name} with {argument} {value!r}", where=where, hint=f"one of: {', '.join(RELATIONS)}"
                )


def shown(value: Any) -> str:
    """As a sentence has it: whole numbers without a point, lists with commas, relations in English."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return RELATIONS.get(value, str(value)) if isinstance(value, str) else str(value)


def compare(count: float, relation: str, bound: float) -> bool:
    return count < bound if relation == "less than" else count >= bound
