"""What the judge is asked: eight prompts, for one answer or two, with a reference answer or without, at turn 1 or 2.

They are read from a file of the published shape, {"name", "type": "single" or "pairwise", "system_prompt",
"prompt_template"}. Which prompt is for what, its placeholders say: {ref_answer_1} stands in those with a reference,
{question_2} in those of the second turn. judge_prompts.jsonl beside this file holds prompts in fewfit's own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.files import characters
from fewfit.judges.model import Conversation
from fewfit.judges.mt_bench.questions import records
from fewfit.judges.question import Answered, Question

OWN = Path(__file__).with_name("judge_prompts.jsonl")
TURNS = 2  # that MT-Bench's prompts know
FAIRLY = "Judge fairly."
PAIRWISE = {"single": False, "pairwise": True}

_PLACE = re.compile(r"\{((?:question|answer(?:_[ab])?)(?:_[12])?|ref_answer_[12])\}")


@dataclass(frozen=True)
class JudgePrompt:
    name: str
    pairwise: bool
    system: str
    template: str

    @property
    def places(self) -> frozenset[str]:
        return frozenset(_PLACE.findall(self.template))

    @property
    def guided(self) -> bool:
        return "ref_answer_1" in self.places

    @property
    def turn(self) -> int:
        return 2 if "question_2" in self.places else 1

    @property
    def answers(self) -> tuple[str, ...]:
        return ("answer_a", "answer_b") if self.pairwise else ("answer",)

    @property
    def problem(self) -> str:
        """A place without which the judge would not see what it is to judge, or one for which there is nothing."""
        shown = ("question", *self.answers)
        known = {*shown, *(f"{one}_{turn}" for one in (*shown, "ref_answer") for turn in range(1, self.turn + 1))}
        wanted = set(shown) if self.turn == 1 else {f"{one}_{turn}" for one in shown for turn in (1, 2)}
        if self.guided and self.turn == 2:
            wanted.add("ref_answer_2")
        if lacking := sorted(wanted - self.places):
            return f"lacks the place {{{lacking[0]}}}"
        if beyond := sorted(self.places - known):
            return f"has the place {{{beyond[0]}}}, for which there is nothing"
        return ""

    def ask(self, question: Question, answers: dict[str, tuple[str, ...]]) -> Conversation:
        """`answers` are by turn: "answer", or "answer_a" and "answer_b". All is put in at once: what looks like a
        place in an answer is the answer's."""
        values: dict[str, str] = {}
        for name, turns in {"question": question.turns, "ref_answer": question.references, **answers}.items():
            values |= {f"{name}_{turn}": text for turn, text in enumerate(turns[:TURNS], start=1)}
            values[name] = turns[0] if turns else ""
        user = Message("user", characters(_PLACE.sub(lambda found: values[found[1]], self.template)))
        return (Message("system", self.system), user) if self.system.strip() else (user,)

    @property
    def reworded(self) -> JudgePrompt:
        """What the system says first, the user says last; where it says nothing, a plain request."""
        return replace(self, system="", template=f"{self.template}\n\n{self.system.strip() or FAIRLY}")


class Prompts:
    """One for each use; `path` is a file, or a folder that holds judge_prompts.jsonl. Without one, fewfit's own."""

    def __init__(self, path: str | Path | None = None):
        file = OWN if path is None else Path(path)
        self.file = file / OWN.name if file.is_dir() else file
        self._by_use: dict[tuple[bool, bool, int], JudgePrompt] = {}
        self.digest = sha256(self.file.read_bytes()).hexdigest() if self.file.is_file() else ""
        for where, row in records(self.file):
            kind, template = row.get("type"), row.get("prompt_template")
            if kind not in PAIRWISE or not isinstance(template, str):
                raise UserError('a prompt has a "type", single or pairwise, and a "prompt_template"', where=where)
            system = str(row.get("system_prompt") or "")
            prompt = JudgePrompt(str(row.get("name", "")), PAIRWISE[kind], system, template)
            if prompt.problem:
                raise UserError(f"prompt {prompt.name} {prompt.problem}", where=where)
            use = (prompt.pairwise, prompt.guided, prompt.turn)
            if use in self._by_use:
                raise UserError(f"prompts {self._by_use[use].name} and {prompt.name} have the same use", where=where)
            self._by_use[use] = prompt

    def reworded(self) -> Prompts:
        """For a judge that is asked without chance: what does not hang on the wording, it says twice."""
        other = copy(self)
        other.digest = f"{self.digest}/reworded"
        other._by_use = {use: prompt.reworded for use, prompt in self._by_use.items()}
        return other

    def choose(self, question: Question, turn: int, *, pairwise: bool) -> JudgePrompt:
        """The one for a turn, counted from 1; beside a reference where the question brings one."""
        if turn > TURNS:
            raise UserError(
                f"MT-Bench's prompts know {TURNS} turns, and this has {turn}",
                where=f"question {question.id}",
                hint="judge its first two, or take a judge that reads rules",
            )
        guided = len(question.references) >= turn
        found = self._by_use.get((pairwise, guided, turn))
        if found is None:
            kind = (
                f"{'two answers' if pairwise else 'one answer'} {'beside a reference ' if guided else ''}at turn {turn}"
            )
            raise UserError(f"has no prompt for {kind}", where=str(self.file), hint="add one, as fewfit's own file has")
        return found

    def of_each(self, answered: Sequence[Answered]) -> list[tuple[JudgePrompt, Conversation]]:
        """One for every turn of every answer."""
        found = []
        for one in answered:
            for turn in range(1, len(one.answers) + 1):
                prompt = self.choose(one.question, turn, pairwise=False)
                found.append((prompt, prompt.ask(one.question, {"answer": one.answers})))
        return found

    def of_pairs(self, mine: Sequence[Answered], other: Sequence[Answered]) -> list[tuple[JudgePrompt, Conversation]]:
        """Two for every turn: mine first, then the other's first."""
        found = []
        for one, two in zip(mine, other, strict=True):
            if one.question != two.question or len(one.answers) != len(two.answers):
                raise ValueError(f"answers to {one.question.id} and {two.question.id} are no pair")
            for turn in range(1, len(one.answers) + 1):
                prompt = self.choose(one.question, turn, pairwise=True)
                for a, b in ((one, two), (two, one)):
                    found.append((prompt, prompt.ask(one.question, {"answer_a": a.answers, "answer_b": b.answers})))
        return found
