"""Conversations under a model's chat template, which is asked, not imitated.

A conversation of stand-ins is rendered once for each shape (the sequence of roles); what the template writes around
the stand-ins is kept, and examples are put in their place. So it is known which text is the template's and which is
data, where each answer stands, and what ends it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.render import limits
from fewfit.render.encode import Encoder
from fewfit.render.rendered import Layout, Piece, Span
from fewfit.render.settings import BLANK_LINE, RenderSettings

# strftime_now("%d %b %Y") and the like: the call in transformers gives today, and takes no other day
_DATE_CALL = re.compile(r"""strftime_now\(\s*(?:"([^"]*)"|'([^']*)')\s*\)""")

CACHED = 4096


@dataclass(frozen=True)
class Turn:
    role: str
    content: str
    answer: bool = False


@dataclass(frozen=True)
class Skeleton:
    """What the template writes around the turns of one shape: literals[0], turn order[0], literals[1], and so on."""

    literals: tuple[str, ...]
    order: tuple[int, ...]
    # for each turn that is an answer, but the last: how much of the text behind it is its end mark
    ends: dict[int, str]
    lead: str
    end: str
    after: str
    lacks: str
    surplus: str


class ChatLayout:
    """The chat template of a tokenizer, and the prompts laid out by it."""

    def __init__(self, encoder: Encoder, settings: RenderSettings):
        self.encoder = encoder
        self.settings = settings
        self.source = freeze_date(template_source(encoder.tokenizer), settings.date)
        self._skeletons: dict[tuple[tuple[str, bool], ...], Skeleton] = {}
        self._unlike: dict[Example, str | None] = {}

    def lay(self, demos: Sequence[Example], target: Example) -> Layout:
        # Each on its own first: what the template refuses is then named.
        unlike = dict.fromkeys(reason for e in (*demos, target) if (reason := self.unlike(e)))
        turns = self.turns(demos, target)
        skeleton = self.skeleton(turns)
        pieces: list[Piece] = []
        answers: list[Span] = []
        length = 0

        def put(text: str, data: bool = False) -> None:
            nonlocal length
            if text:
                pieces.append(Piece(text, data))
                length += len(text)

        for literal, turn in zip(skeleton.literals, skeleton.order, strict=False):
            if turn == len(turns) - 1:
                put(literal.removesuffix(skeleton.lead))
                break
            put(literal)
            start = length - (len(literal) - len(literal.rstrip(" \t")))
            put(turns[turn].content, data=True)
            if turns[turn].answer:
                answers.append((start, length + len(skeleton.ends[turn])))
        return Layout(tuple(pieces), tuple(answers), skeleton.lead, skeleton.end, skeleton.after, tuple(unlike))

    # --- the conversation

    def turns(self, demos: Sequence[Example], target: Example) -> list[Turn]:
        """One conversation; the first system turn stands, others are dropped where equal and merged where not."""
        system = (self.settings.system or "").strip()
        turns: list[Turn] = []
        for position, example in enumerate((*demos, target)):
            own, spoken = _apart(example.prompt)
            if position == 0 and not system:
                system, own = own, ""
            asking = _first_of_user(spoken)
            for number, message in enumerate(spoken):
                content = message.content.strip()
                if number == asking and own and own != system:
                    content = BLANK_LINE.join((own, content))
                turns.append(Turn(message.role, content))
            turns.append(Turn("assistant", example.completion.strip(), answer=True))
        preface = [text for text in ((self.settings.instruction or "").strip(), system) if text]
        if system and not self.settings.merge_system:
            turns.insert(0, Turn("system", BLANK_LINE.join(preface)))
        elif preface:
            asking = _first_of_user(turns)  # an assistant may have begun, with a greeting
            turns[asking] = replace(turns[asking], content=BLANK_LINE.join((*preface, turns[asking].content)))
        return turns

    def render(self, turns: Sequence[Turn], *, generation: bool = False, where: str | None = None) -> str:
        def content(text: str) -> Any:
            return [{"type": "text", "text": text}] if self.settings.content_parts else text

        limits.refuse_costly(self.source)
        try:
            with limits.time_limit():
                text = self.encoder.tokenizer.apply_chat_template(
                    [{"role": turn.role, "content": content(turn.content)} for turn in turns],
                    chat_template=self.source,
                    tokenize=False,
                    add_generation_prompt=generation,
                    **self.settings.template_kwargs,
                )
        except limits.OutOfTime:
            raise UserError(
                f"the chat template does not end within {limits.SECONDS:g} seconds",
                where=where,
                hint=limits.HINT,
                code=limits.CODE,
            ) from None
        except Exception as error:  # a template is a program of its own and may raise anything
            raise UserError(
                f"the chat template refuses the turns {' '.join(t.role for t in turns)}: {error}",
                where=where,
                hint="use --chat off for the plain template, or fix the turns of the examples",
                code="chat-template",
            ) from error
        return str(text)

    # --- what the template writes

    def skeleton(self, turns: Sequence[Turn]) -> Skeleton:
        shape = tuple((turn.role, turn.answer) for turn in turns)
        if shape not in self._skeletons:
            _bound(self._skeletons)
            self._skeletons[shape] = self._examine(shape)
        return self._skeletons[shape]

    def _examine(self, shape: tuple[tuple[str, bool], ...]) -> Skeleton:
        turns = [Turn(role, _stand_in(i), answer) for i, (role, answer) in enumerate(shape)]
        literals, order = self._split(self.render(turns), turns)
        # one user turn more shows what follows the last answer in the middle of a conversation
        longer = [*turns, Turn("user", _stand_in(len(turns)))]
        more, more_order = self._split(self.render(longer), longer)
        following = more[more_order.index(len(turns) - 1) + 1]
        end, after = self._end(literals[-1], following)
        before = literals[order.index(len(turns) - 1)]
        lead = before[len(before.rstrip(" \t")) :]
        prompt = self.render(turns).split(turns[-1].content)[0].removesuffix(lead)
        own = self.render(turns[:-1], generation=True)
        same = _common(prompt, own)
        ends = {
            turn: self._end_of_demonstration(literals[place + 1], end)
            for place, turn in enumerate(order)
            if turns[turn].answer and turn != len(turns) - 1
        }
        return Skeleton(literals, order, ends, lead, end, after, prompt[same:], own[same:])

    def _split(self, text: str, turns: Sequence[Turn]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        for turn in turns:
            if text.count(turn.content) != 1:
                times = "drops" if turn.content not in text else "repeats"
                raise UserError(
                    f"the chat template {times} the {turn.role} turn of a conversation of {len(turns)} turns",
                    hint="use --chat off for the plain template",
                    code="chat-template",
                )
        order = tuple(sorted(range(len(turns)), key=lambda i: text.index(turns[i].content)))
        if order[-1] != len(turns) - 1:
            raise UserError(
                f"the chat template writes the last turn of {len(turns)} before another",
                hint="use --chat off for the plain template",
                code="chat-template",
            )
        literals: list[str] = []
        at = 0
        for i in order:
            place = text.index(turns[i].content)
            literals.append(text[at:place])
            at = place + len(turns[i].content)
        return (*literals, text[at:]), order

    def _end(self, last: str, following: str) -> tuple[str, str]:
        """An answer's end mark and what follows it, from the texts behind an answer at the very end and in the middle
        of a conversation: up to the special tokens that stand there both times, else up to the first one."""
        both = last[: _common(last, following)]
        stops = [found.end() for found in self.encoder.specials.finditer(both)]
        if stops:
            return both[: stops[-1]], ""
        for text in (last, following):
            stop = self.encoder.first_mark(text)
            if stop is not None:
                return text[:stop], ""
        # No token of its own ends an answer, so the text that always follows one does. Where that is mere white space,
        # which may well occur within an answer, it is all the text up to the next turn.
        end = both.rstrip() or following.rstrip(" \t") or following
        return end, following[len(end) :] + "A"

    def _end_of_demonstration(self, literal: str, end: str) -> str:
        """The target's end mark, where it stands behind a demonstration too; gpt-oss, for one, has another there."""
        if literal.startswith(end):
            return end
        stop = self.encoder.first_mark(literal)
        return literal.rstrip(" \t") if stop is None else literal[:stop]

    # --- templates that change what they are given

    def unlike(self, example: Example) -> str | None:
        """Why the template's own text for this example is not what is used, if so. One look per example suffices:
        what templates change (reasoning in earlier turns, white space) hangs on a turn's own text."""
        if example not in self._unlike:
            _bound(self._unlike)
            # a query has no answer yet, and templates may treat an empty turn in a way of its own
            asked = example if example.completion.strip() else replace(example, completion="Yes")
            turns = self.turns([asked], asked)
            try:
                skeleton = self.skeleton(turns)
            except UserError as error:  # of stand-ins, which know no example
                where = f"example {example.id}"
                raise UserError(error.message, where=where, hint=error.hint, code=error.code) from error
            used = "".join(
                literal + turns[turn].content for literal, turn in zip(skeleton.literals, skeleton.order, strict=False)
            )
            given = used + skeleton.literals[-1] == self.render(turns, where=f"example {example.id}")
            self._unlike[example] = (
                None if given else "the chat template rewrites the text of turns, which is used as given"
            )
        return self._unlike[example]

    @cached_property
    def usual(self) -> Skeleton:
        """The shape of a demonstration and a target."""
        return self.skeleton([Turn("user", "a"), Turn("assistant", "b", True)] * 2)


def template_source(tokenizer: Any) -> str:
    return str(tokenizer.get_chat_template())


def freeze_date(source: str, date: str | None) -> str:
    """The template with each call for today's date replaced by what it would have given on that day."""
    if date is None:
        return source
    from datetime import datetime

    day = datetime.fromisoformat(date)

    def written(call: re.Match[str]) -> str:
        return "'" + day.strftime(call.group(1) or call.group(2) or "").replace("'", "\\'") + "'"

    return _DATE_CALL.sub(written, source)


def _apart(prompt: str | tuple[Message, ...]) -> tuple[str, list[Message]]:
    """The system text of a prompt, and its other turns."""
    if isinstance(prompt, str):
        return "", [Message("user", prompt)]
    system = [m.content.strip() for m in prompt if m.role == "system"]
    return BLANK_LINE.join(s for s in system if s), [m for m in prompt if m.role != "system"]


def _first_of_user(turns: Sequence[Turn | Message]) -> int:
    return next((number for number, turn in enumerate(turns) if turn.role == "user"), 0)


def _bound(cache: dict[Any, Any]) -> None:
    """A server meets ever new examples."""
    if len(cache) >= CACHED:
        cache.clear()


def _stand_in(number: int) -> str:
    # letters and digits only, the last letter a stop: no number is the beginning of another
    return f"Zq{number}xTurn"


def _common(a: str, b: str) -> int:
    for n, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return n
    return min(len(a), len(b))
