"""A model's answers to questions of several turns, the conversation so far carried on.

    answers.jsonl    {"id", "turn", "asked", "answer"}, a line each, on disk as soon as it is there

What the file holds is not made again: a process that is killed loses the answers that were not ended. `asked` is a
hash of the conversation, so that answers to other questions are never taken for these.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.judges.model import Conversation
from fewfit.judges.question import Answered, Question
from fewfit.kept import Kept, kept

BLOCK = 16  # conversations that are given to the writer at once
NOT_ANSWERS = "holds something else than answers"


class ConversationWriter(Protocol):
    def write(self, conversations: Sequence[Conversation]) -> Sequence[str]:
        """The next answer in each."""


class Streaming(Protocol):
    def stream(self, conversations: Sequence[Conversation]) -> Iterator[tuple[int, str]]:
        """The same, each as soon as it is there, with its place."""


def answer(
    questions: Sequence[Question],
    writer: ConversationWriter | Streaming,
    path: str | Path,
    *,
    by: str = "",
    block: int = BLOCK,
) -> list[Answered]:
    """All first turns, then all second ones, and so on. One file is of one writer: `by` stands in its first line."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with kept(path, NOT_ANSWERS) as book:
        made = answers_in(book, by, path)
        conversations: list[Conversation] = [() for _ in questions]
        for turn in range(max((len(one.turns) for one in questions), default=0)):
            now = [k for k, one in enumerate(questions) if len(one.turns) > turn]
            for k in now:
                conversations[k] = (*conversations[k], Message("user", questions[k].turns[turn]))
            missing = [k for k in now if digest(conversations[k]) not in made]
            for start in range(0, len(missing), block):
                some = missing[start : start + block]
                for place, text in streamed(writer, [conversations[k] for k in some]):
                    question, asked = questions[some[place]], digest(conversations[some[place]])
                    record = {"id": question.id, "turn": turn + 1, "asked": asked, "answer": text}
                    book.add(record)
                    made[asked] = text
            for k in now:
                conversations[k] = (*conversations[k], Message("assistant", made[digest(conversations[k])]))
    return [
        Answered(question, tuple(one.content for one in conversation if one.role == "assistant"), by)
        for question, conversation in zip(questions, conversations, strict=True)
    ]


def streamed(
    writer: ConversationWriter | Streaming, conversations: Sequence[Conversation]
) -> Iterator[tuple[int, str]]:
    return writer.stream(conversations) if hasattr(writer, "stream") else iter(enumerate(writer.write(conversations)))


def digest(conversation: Conversation) -> str:
    whole = json.dumps([[one.role, one.content] for one in conversation])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def answers_in(book: Kept, by: str, path: Path) -> dict[str, str]:
    """By what was asked. The first line names who answers."""
    if not book.lines:
        book.add({"by": by})
    try:
        begun = book.lines[0]["by"]
        made = {str(one["asked"]): str(one["answer"]) for one in book.lines[1:]}
    except (KeyError, TypeError):
        raise UserError(NOT_ANSWERS, where=str(path), hint="name another file") from None
    if begun != by:
        raise UserError(f"holds the answers of {begun!r}, not of {by!r}", where=str(path), hint="name another file")
    return made
