"""A model's answers to questions of several turns, the conversation so far carried on.

    answers.jsonl    {"id", "turn", "asked", "answer"}, a line each, on disk as soon as it is there

What the file holds is not made again: a process that is killed loses the answers that were not ended. `asked` is a
hash of the conversation, so that answers to other questions are never taken for these.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.files import hold, one_line, sync_folder
from fewfit.judges.model import Conversation
from fewfit.judges.question import Answered, Question

BLOCK = 16  # conversations that are given to the writer at once


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
    with path.open("a+", encoding="utf-8", newline="") as file:
        try:
            hold(file)
        except OSError:
            raise UserError("another process writes it", where=str(path), hint="wait for it") from None
        made = read(path, by)
        if made is None:
            file.write(one_line({"by": by}) + "\n")
            file.flush()
            sync_folder(path.parent.absolute())
            made = {}
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
                    file.write(one_line(record) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
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


def read(path: Path, by: str) -> dict[str, str] | None:
    """Answers by what was asked; None of a file that is new. Half a line, written when a process died, is cut off."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    try:
        lines = [json.loads(line) for line in whole.split(b"\n") if line]
        begun = lines[0]["by"] if lines else by
        made = {str(one["asked"]): str(one["answer"]) for one in lines[1:]}
    except (ValueError, KeyError, TypeError):
        raise UserError("holds something else than answers", where=str(path), hint="name another file") from None
    if begun != by:
        raise UserError(f"holds the answers of {begun!r}, not of {by!r}", where=str(path), hint="name another file")
    return made if lines else None
