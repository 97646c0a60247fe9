"""The conversations that prompts show and that are trained on, and what the ablations make of them (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fewfit import draw
from fewfit.prompts import TAG, Conversation, Prompter, Turn, UrialPrompt, showing
from fewfit.suites.instruct.conditions import Condition, Quality


@dataclass(frozen=True)
class Material:
    """`urial`: the rules and examples of a prompt file. `pool`: what is drawn from. `foreign`: whose answers are of
    another style. `searched`: what a search chose. `references`: whose answers are right, shown to nobody."""

    urial: UrialPrompt
    pool: tuple[Conversation, ...] = ()
    foreign: tuple[Conversation, ...] = ()
    searched: tuple[Conversation, ...] = ()
    references: tuple[Conversation, ...] = ()

    def order(self, seed: int) -> list[Conversation]:
        """One order a seed: the ten of a prompt are the first of the thirty that are trained on."""
        return draw.shuffled(self.pool, lambda one: one.id, seed=seed, purpose="examples")

    @property
    def has_turns(self) -> bool:
        return any(len(one.turns) > 1 for one in self.pool)

    def refuse(self, condition: Condition) -> str:
        """Why a condition cannot be had of this material; nothing where it can."""
        if condition.needs_pool > len(self.pool) and not (condition.turns > 1 and self.has_turns):
            return f"it takes {condition.needs_pool} examples and there are {len(self.pool)} (--demonstrations)"
        if (found := len(conversations(self, condition, 0))) < condition.drawn:
            return f"it takes {condition.drawn} conversations of {condition.turns} turns and there are {found}"
        if condition.searched and not self.searched:
            return "nothing was searched (--searched)"
        shown = drawn(self, condition, 0)
        if condition.own and condition.drawn and self.pool == self.urial.demonstrations:
            return "its examples would be shown twice (--demonstrations)"
        if condition.quality != "correct" and any(len(one.turns) > 1 for one in shown):
            return "it changes examples of one turn, and these have several"
        if condition.quality == "shifted" and len({one.turns[0].answer for one in shown}) < 2:
            return "one answer cannot be another's"
        if condition.quality in ("in-domain", "out-of-domain"):
            source = self.pool if condition.quality == "in-domain" else self.foreign
            flag = "--demonstrations" if condition.quality == "in-domain" else "--foreign"
            if len(others(source, shown)) < len(shown):
                return f"it takes {len(shown)} answers of others ({flag})"
        return ""


def drawn(material: Material, condition: Condition, seed: int) -> tuple[Conversation, ...]:
    """In the order of the prompt: those of the file stand last, as the paper has it."""
    shown = (*conversations(material, condition, seed), *(material.searched if condition.searched else ()))
    return (*shown, *(material.urial.demonstrations if condition.own else ()))


def conversations(material: Material, condition: Condition, seed: int) -> list[Conversation]:
    """Of the pool. Where it has conversations of several turns they are taken up to the turns that are asked for; of
    examples of one turn so many are joined."""
    some, turns = material.order(seed), condition.turns
    if turns == 1:
        return some[: condition.drawn]
    if material.has_turns:
        able = [replace(one, turns=one.turns[:turns]) for one in some if len(one.turns) >= turns]
        return able[: condition.drawn]
    pairs = [some[k : k + turns] for k in range(0, condition.drawn * turns, turns)]
    return [Conversation("/".join(one.id for one in pair), sum((one.turns for one in pair), ())) for pair in pairs]


def prompter(material: Material, condition: Condition, seed: int, chat: bool) -> Prompter:
    shown = changed(drawn(material, condition, seed), condition.quality, material, seed)
    return showing(
        material.urial, condition.name, shown, chat=chat, rules=condition.rules, tag=TAG if condition.tag else ""
    )


def changed(shown: Sequence[Conversation], quality: Quality, material: Material, seed: int) -> tuple[Conversation, ...]:
    if quality == "correct":
        return tuple(shown)
    turns = [one.turns[0] for one in shown]
    if quality == "questions":
        turns = [Turn(one.query, "") for one in turns]
    elif quality == "answers":
        turns = [Turn("", one.answer) for one in turns]
    elif quality == "shifted":
        turns = [Turn(one.query, other.answer) for one, other in zip(turns, [*turns[1:], turns[0]], strict=True)]
    else:
        source = others(material.pool if quality == "in-domain" else material.foreign, shown)
        some = draw.shuffled(source, lambda one: one.id, seed=seed, purpose=f"answers {quality}")
        turns = [Turn(one.query, other.turns[0].answer) for one, other in zip(turns, some, strict=False)]
    return tuple(replace(one, turns=(turn,)) for one, turn in zip(shown, turns, strict=True))


def others(source: Sequence[Conversation], shown: Sequence[Conversation]) -> list[Conversation]:
    """Whose answers are not among those shown."""
    theirs = {one.turns[0].answer for one in shown}
    return [one for one in source if one.turns[0].answer not in theirs]
