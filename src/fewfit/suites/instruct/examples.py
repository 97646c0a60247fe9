"""The conversations that prompts show and that are trained on, and what the ablations make of them (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fewfit import draw
from fewfit.errors import UserError
from fewfit.prompts import TAG, ChatPrompt, Conversation, Prompter, Turn, UrialPrompt
from fewfit.suites.instruct.conditions import Condition, Quality


@dataclass(frozen=True)
class Material:
    """`urial`: the rules and examples of a prompt file. `pool`: what is drawn from. `foreign`: whose answers are of
    another style. `searched`: what a search chose."""

    urial: UrialPrompt
    pool: tuple[Conversation, ...] = ()
    foreign: tuple[Conversation, ...] = ()
    searched: tuple[Conversation, ...] = ()

    def order(self, seed: int) -> list[Conversation]:
        """One order a seed: the ten of a prompt are the first of the thirty that are trained on."""
        return draw.shuffled(self.pool, lambda one: one.id, seed=seed, purpose="examples")

    def refuse(self, condition: Condition) -> str:
        """Why a condition cannot be had of this material; nothing where it can."""
        if condition.needs_pool > len(self.pool):
            return f"it takes {condition.needs_pool} examples and there are {len(self.pool)} (--demonstrations)"
        if condition.searched and not self.searched:
            return "nothing was searched (--searched)"
        shown = len(self.urial.demonstrations) + len(self.searched if condition.searched else ())
        if condition.own and condition.drawn and self.pool == self.urial.demonstrations:
            return "its examples would be shown twice (--demonstrations)"
        if condition.turns > 1 and any(len(one.turns) > 1 for one in self.pool):
            return "it joins examples of one turn, and these have several"
        if condition.quality == "shifted" and shown < 2:
            return "one answer cannot be another's"
        if condition.quality in ("in-domain", "out-of-domain"):
            source = self.pool if condition.quality == "in-domain" else self.foreign
            flag = "--demonstrations" if condition.quality == "in-domain" else "--foreign"
            if len({one.turns[0].answer for one in source} - self.answers) < shown:
                return f"it takes {shown} answers of others ({flag})"
        if condition.quality != "correct" and any(len(one.turns) > 1 for one in self.urial.demonstrations):
            return "it changes examples of one turn, and these have several"
        return ""

    @property
    def answers(self) -> set[str]:
        """Of the prompt file's own examples."""
        return {one.turns[0].answer for one in self.urial.demonstrations}


def drawn(material: Material, condition: Condition, seed: int) -> tuple[Conversation, ...]:
    """In the order of the prompt: those of the file stand last, as the paper has it."""
    some = material.order(seed)[: condition.drawn * condition.turns]
    pairs = [some[k : k + condition.turns] for k in range(0, len(some), condition.turns)]
    joined = [Conversation("/".join(one.id for one in pair), sum((one.turns for one in pair), ())) for pair in pairs]
    shown = (*joined, *(material.searched if condition.searched else ()))
    return (*shown, *(material.urial.demonstrations if condition.own else ()))


def prompter(material: Material, condition: Condition, seed: int, chat: bool) -> Prompter:
    shown = changed(drawn(material, condition, seed), condition.quality, material, seed)
    rules = material.urial.rules if condition.rules else ""
    if chat:
        return ChatPrompt(condition.name, rules, shown)
    frame = material.urial.frame
    kept = material.urial.as_written if condition.quality == "correct" else {}
    return UrialPrompt(condition.name, rules, shown, replace(frame, tag=TAG) if condition.tag else frame, kept)


def changed(shown: Sequence[Conversation], quality: Quality, material: Material, seed: int) -> tuple[Conversation, ...]:
    if quality == "correct":
        return tuple(shown)
    if any(len(one.turns) > 1 for one in shown):
        raise UserError(f"examples of several turns with {quality} alone", hint="it is for examples of one turn")
    turns = [one.turns[0] for one in shown]
    if quality == "questions":
        turns = [Turn(one.query, "") for one in turns]
    elif quality == "answers":
        turns = [Turn("", one.answer) for one in turns]
    elif quality == "shifted":
        turns = [Turn(one.query, other.answer) for one, other in zip(turns, [*turns[1:], turns[0]], strict=True)]
    else:
        theirs = {one.answer for one in turns}
        source = material.pool if quality == "in-domain" else material.foreign
        others = [one for one in source if one.turns[0].answer not in theirs]
        if len(others) < len(turns):
            raise UserError(f"{quality} answers for {len(turns)} examples, of {len(others)} others", hint="give more")
        some = draw.shuffled(others, lambda one: one.id, seed=seed, purpose=f"answers {quality}")
        turns = [Turn(one.query, other.turns[0].answer) for one, other in zip(turns, some, strict=False)]
    return tuple(replace(one, turns=(turn,)) for one, turn in zip(shown, turns, strict=True))
