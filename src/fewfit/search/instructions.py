"""`select_instructions`: conversations searched for that make a model follow instructions best, by a judge's verdict.

As in arXiv 2405.19874, section 4: candidates stand between the rules and the examples of a prompt file, and are judged
by what the model answers in the first turn. The folder is that of selecting.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewfit import draw
from fewfit.errors import UserError
from fewfit.examples import as_dict
from fewfit.examples.example import Example
from fewfit.files import one_line, publish, write_json
from fewfit.judges import Judge, Question
from fewfit.prompts import Conversation, Prompter, UrialPrompt, showing, talk
from fewfit.search.calls import OnStep
from fewfit.search.judged import JudgedScorer
from fewfit.search.pool import Added, Pool
from fewfit.search.searching import Found, refuse_impossible, search
from fewfit.search.selecting import FOUND, SCHEMA, SET, kept_in
from fewfit.search.strategy import Problem, Strategy
from fewfit.writing import Decoding, Writer

POOL = 100  # candidates at the most, as in the paper
SEARCHED_ON = "searched_on"  # what the set must not be judged by any more


@dataclass(frozen=True)
class Prompted:
    """Answers of one model behind a prompt file's rules and examples, and what is added to them."""

    writer: Writer
    prompt: UrialPrompt
    candidates: dict[str, Conversation]
    decoding: Decoding
    chat: bool = False

    def prompter(self, added: Added) -> Prompter:
        shown = (*(self.candidates[one] for one in added), *self.prompt.demonstrations)
        return showing(self.prompt, "searched", shown, chat=self.chat)

    def refuse(self, demonstrations: Added, questions: Sequence[Question]) -> None:
        """What does not fit would be left out of the prompt, and what was left out must not be scored."""
        if self.writer.limit is None:
            return
        longest = max((one.turns[0] for one in questions), key=len)
        tokens = self.writer.count(self.prompter(demonstrations).asked((), longest)) + self.decoding.max_new_tokens
        if tokens > self.writer.limit:
            raise UserError(
                f"{len(demonstrations)} candidates do not fit: {tokens} tokens of {self.writer.limit}",
                where=f"candidates {', '.join(demonstrations)}",
                hint="give shorter ones, or a smaller --k",
            )

    def answer(self, demonstrations: Added, questions: Sequence[Question]) -> list[list[str]]:
        self.refuse(demonstrations, questions)
        first = {one.id: one.turns[:1] for one in questions}
        told = talk(self.writer, self.prompter(demonstrations), first, self.decoding)
        return [[one.text for one in told[question.id]] for question in questions]


@dataclass(frozen=True)
class Selected:
    """`demonstrations` in prompt order, without those of the prompt file."""

    found: Found
    demonstrations: tuple[Example, ...]
    judge: str
    questions: tuple[Question, ...]
    pool: int
    unread: int
    out: Path | None
    notices: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "judge": self.judge,
            **self.found.as_json(),
            "pool": self.pool,
            "questions": len(self.questions),
            SEARCHED_ON: [one.turns[0] for one in self.questions],
            "unread_now": self.unread,  # of the verdicts that this call asked for
            "demonstrations": [as_dict(one) for one in self.demonstrations],
            "out": None if self.out is None else str(self.out),
        }


def select_instructions(
    conversations: Sequence[Conversation],
    questions: Sequence[Question],
    prompted: Prompted,
    judge: Judge,
    how: Strategy,
    *,
    k: int,
    held_out: Sequence[Question] | None = None,
    budget: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    about: dict[str, Any] | None = None,
    on_step: OnStep | None = None,
) -> Selected:
    """`prompted` holds the candidates that may be drawn from. `about` is what the scores hang on beside all this: the
    model."""
    some = draw.shuffled(questions, lambda one: one.id, seed=seed, purpose="searched questions")
    if held_out is None:
        half = len(some) // 2
        some, held_out = some[:half], some[half:]
    if any(len(one.turns) > 1 for one in conversations):
        raise UserError("candidates of several turns", hint="give conversations of one turn")
    if both := {one.id for one in some} & {one.id for one in held_out}:
        raise UserError(f"question {min(both)} is held out and searched on", hint="give each a key of its own")
    asked_on = {one.turns[0].strip() for one in some}
    if same := next((one.id for one in held_out if one.turns[0].strip() in asked_on), None):
        raise UserError(f"question {same} is held out and searched on, under another key", hint="leave it out of one")
    if judge.name == "rules" and (bare := next((one.id for one in (*some, *held_out) if not one.checks), None)):
        raise UserError(f"question {bare} has nothing that rules could check", hint="leave it out, or take mt-bench")
    longest = sorted(prompted.candidates, key=lambda id: -len(str(prompted.candidates[id])))[:k]
    prompted.refuse(tuple(longest), [*some, *held_out])
    problem = Problem(Pool(tuple(prompted.candidates)), tuple(one.id for one in some), k, seed)
    refuse_impossible(problem, budget)
    scorer = JudgedScorer(prompted, judge, [*some, *held_out])
    asked = {
        "schema": SCHEMA,
        "judge": str(getattr(judge, "key", judge.name)),
        "questions": digest([repr(one) for one in (*questions, *held_out)]),
        "prompt": prompted.prompt.text,
        "chat": prompted.chat,
        "decoding": asdict(prompted.decoding),
        "data": digest([repr(one) for one in conversations]),
        **(about or {}),
    }
    with kept_in(out, asked) as book:
        held = [one.id for one in held_out]
        found = search(problem, how, scorer, held, ledger=book, budget=budget, on_step=on_step)
        shown = [prompted.candidates[one] for one in found.added]
        demos = tuple(Example(one.id, one.turns[0].query, one.turns[0].answer) for one in shown)
        selected = Selected(found, demos, judge.name, tuple(some), len(prompted.candidates), scorer.unread, out)
        if out is not None:
            publish(out / SET, "".join(one_line(as_dict(one)) + "\n" for one in demos).encode())
            write_json(out / FOUND, selected.as_json())
    return selected


def digest(parts: Sequence[str]) -> str:
    """In any order."""
    return sha256("\n".join(sorted(set(parts))).encode()).hexdigest()


def candidates(
    conversations: Sequence[Conversation], questions: Sequence[Question], number: int | None, seed: int
) -> dict[str, Conversation]:
    """One that answers a question does not stand before it."""
    if number is not None and number < 1:
        raise UserError(f"--pool {number}", hint="give 1 or more")
    asked = {one.turns[0].strip() for one in questions}
    able = [one for one in conversations if one.turns[0].query not in asked]
    some = draw.shuffled(able, lambda one: one.id, seed=seed, purpose="pool of candidates")
    return {one.id: one for one in some[: POOL if number is None else number]}


def searched_on(demonstrations: Path) -> set[str]:
    """Requests that a set of demonstrations was chosen by, where its folder tells."""
    try:
        told = json.loads((demonstrations.parent / FOUND).read_text(encoding="utf-8"))
        return set(told[SEARCHED_ON]) if demonstrations.name == SET else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()
