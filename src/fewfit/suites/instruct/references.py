"""How likely the right answers are behind a condition's prompt: nothing is written, so hundreds of them take minutes.

The mean log-likelihood of a token of each reference answer, by turn, in nats, the answer given word for word (teacher
forcing). It is no judge of what a model writes: it says how much a prompt or a training makes the model expect answers
of this kind. References are shown to no condition and trained on by none. An answer is cut to what an answer may have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import mean, stdev
from typing import Any, NamedTuple

from fewfit import draw
from fewfit.errors import UserError
from fewfit.prompts import Conversation, Prompter, Turn
from fewfit.suites.instruct.examples import Material
from fewfit.suites.instruct.questions import WORDS_A_TOKEN
from fewfit.writing import LocalWriter

JUDGE, QUESTIONS = "log-likelihood", "references"
NUMBER = 200


def with_references(
    material: Material, given: Sequence[Conversation] | None, number: int | None, max_new_tokens: int
) -> Material:
    """`given`, or else `number` of the pool (NUMBER, at most half, where nobody says), which are then taken out
    of it: the same ones whatever conditions and seeds are asked for. What shares a query with an example stays out, and
    no condition takes an answer of theirs."""
    some = draw.shuffled(material.pool if given is None else given, lambda one: one.id, seed=0, purpose="references")
    if number is None:
        number = NUMBER if given is not None else min(NUMBER, len(some) // 2)
    if given is None:
        some = some[:number]
        queries = {one.turns[0].query for one in some}
        material = replace(material, pool=tuple(one for one in material.pool if one.turns[0].query not in queries))
    shown = (*material.pool, *material.searched, *material.urial.demonstrations)
    known = {turn.query for one in shown for turn in one.turns}
    words = round(max_new_tokens * WORDS_A_TOKEN)
    kept = [one for one in some if not known & {turn.query for turn in one.turns}]
    kept = [one for one in kept if all(turn.query and turn.answer for turn in one.turns)][:number]
    if len(kept) < 2:
        hint = "give --references FILE, or more --demonstrations"
        raise UserError(f"{len(kept)} reference answers that no prompt shows", hint=hint)
    told = {text for one in kept for turn in one.turns for text in (turn.query, turn.answer)}
    foreign = [one for one in material.foreign if not any({turn.query, turn.answer} & told for turn in one.turns)]
    return replace(material, foreign=tuple(foreign), references=tuple(cut(one, words) for one in kept))


def cut(one: Conversation, words: int) -> Conversation:
    turns = [Turn(turn.query, re.match(rf"(?:\S+\s*){{0,{words}}}", turn.answer)[0].strip()) for turn in one.turns]  # type: ignore[index]
    return replace(one, turns=tuple(turns))


class Reference(NamedTuple):
    history: tuple[Turn, ...]
    query: str
    answer: str


def by_turn(some: Sequence[Conversation]) -> tuple[list[Reference], list[Reference]]:
    """All as first turns, and all as second ones: of a conversation of one turn the same answer, behind the one before
    it with its answer, so that both turns are of the same answers."""
    first = [Reference((), one.turns[0].query, one.turns[0].answer) for one in some]
    second = []
    for before, one in pairwise((some[-1], *some)):
        history, turn = (before.turns[:1], one.turns[0]) if len(one.turns) == 1 else (one.turns[:1], one.turns[1])
        second.append(Reference(history, turn.query, turn.answer))
    return first, second


def longest(some: Sequence[Conversation]) -> Reference:
    return max(by_turn(some)[1], key=lambda one: sum(len(turn.query + turn.answer) for turn in one.history)
               + len(one.query + one.answer))  # fmt: skip


def rows(writer: LocalWriter, prompter: Prompter, some: Sequence[Conversation]) -> list[dict[str, Any]]:
    found = []
    for turn, references in enumerate(by_turn(some), start=1):
        asked = [prompter.asked(one.history, one.query) for one in references]
        told = writer.likelihoods(asked, [one.answer for one in references])
        by_answer = [logp / tokens for logp, tokens in told]
        found.append(
            {
                "turn": turn,
                "score": round(mean(by_answer), 4),
                "stderr": round(stdev(by_answer) / len(by_answer) ** 0.5, 4),
                "n": len(by_answer),
                "unread": 0,
                "scores": [round(one, 4) for one in by_answer],
                "words": round(mean(len(one.answer.split()) for one in references), 1),
                "tokens": sum(tokens for _, tokens in told),
            }
        )
    return found
