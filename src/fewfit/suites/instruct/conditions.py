"""A prompt, and the weights that it is put to. A condition's name says all of it:

base  rules  examples  urial               no examples, rules alone, three examples of the prompt file, both
random-10  urial+random-10                 ten of the pool, before those of the file in the second case
turns-3                                    three of two turns each
random-10+tag  turns-3+tag                 the same, with a line between conversations
searched                                   those that select-demos chose, before those of the file
urial:shifted  random-10:shifted           the same, their answers changed (examples.py has the changes)
ft-30  icl3+ft-30                          tuned on thirty; in the second case three in every prompt, then and now
urial@ft-30  urial:shifted@ft-30           any prompt, put to tuned weights
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from fewfit.errors import UserError

Quality = Literal["correct", "questions", "answers", "shifted", "in-domain", "out-of-domain"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
KNOWN = "base, rules, examples, urial, random-10, urial+random-10, turns-3, turns-3+tag, searched, ft-30, icl3+ft-30"

_WEIGHTS = re.compile(r"(?:icl(\d+)\+)?ft-(\d+)")
_DRAWN = re.compile(r"(urial\+)?(random|turns)-(\d+)(\+tag)?")


@dataclass(frozen=True)
class Weights:
    """Tuned on the first `learnt` examples of the pool's order, with `shots` others before each. None: as they came."""

    learnt: int = 0
    shots: int = 0

    @property
    def name(self) -> str:
        return f"icl{self.shots}+ft-{self.learnt}" if self.shots else f"ft-{self.learnt}"


@dataclass(frozen=True)
class Condition:
    """`own`: the examples of the prompt file; `drawn`: so many of the pool, `turns` of them to a conversation."""

    name: str
    rules: bool = False
    own: bool = False
    drawn: int = 0
    turns: int = 1
    tag: bool = False
    searched: bool = False
    quality: Quality = "correct"
    weights: Weights | None = None

    @property
    def needs_pool(self) -> int:
        """How many examples it takes."""
        return max(self.drawn * self.turns, self.weights.learnt if self.weights else 0)


def condition(name: str) -> Condition:
    whole, at, trained = name.partition("@")
    prompt, colon, quality = whole.partition(":")
    problem = UserError(f"unknown condition {name!r}", hint=f"choose among {KNOWN}; docs/instruct.md has all")
    change: Quality | None = next((one for one in QUALITIES if one == (quality or "correct")), None)
    if change is None:
        raise UserError(f"unknown change {quality!r} in {name!r}", hint=f"choose among {', '.join(QUALITIES)}")
    weights = None
    if tuned := _WEIGHTS.fullmatch(trained or prompt):
        weights = Weights(int(tuned[2]), int(tuned[1] or 0))
        if not weights.learnt or weights.shots >= weights.learnt:
            raise UserError(f"{name}: {weights.shots} of {weights.learnt} examples beside each", hint="train on more")
        if not at:
            prompt = f"random-{weights.shots}" if weights.shots else "base"
    elif at:
        raise problem
    asked = {"rules": prompt in ("rules", "urial", "searched"), "own": prompt in ("examples", "urial", "searched")}
    if drawn := _DRAWN.fullmatch(prompt):
        with_own, kind, number, tag = drawn.groups()
        if int(number) < 1:
            raise problem
        asked = {"rules": bool(with_own), "own": bool(with_own)}
        turns = 2 if kind == "turns" else 1
        return Condition(name, **asked, drawn=int(number), turns=turns, tag=bool(tag), quality=change, weights=weights)
    if prompt not in ("base", "rules", "examples", "urial", "searched") or (colon and not asked["own"]):
        raise problem
    return Condition(name, **asked, searched=prompt == "searched", quality=change, weights=weights)
