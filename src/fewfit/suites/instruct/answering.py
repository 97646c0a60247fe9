"""A cell: a condition, decoded one way, asked all questions of a set. Its answers are kept; judging them is cheap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fewfit.examples.example import Message
from fewfit.judges import Answered, Question
from fewfit.judges.answering import answer, digest
from fewfit.prompts import Prompter, Turn, replies
from fewfit.writing import Decoding, Writer

TOGETHER = 48  # conversations given to the writer at once


class Talker:
    """What judges/answering.py wants: the next answer in each conversation."""

    def __init__(self, writer: Writer, prompter: Prompter, decoding: Decoding):
        self.writer, self.prompter, self.decoding = writer, prompter, decoding

    def stream(self, conversations: Sequence[tuple[Message, ...]]) -> Iterator[tuple[int, str]]:
        histories = [told(one[:-1]) for one in conversations]
        queries = [one[-1].content for one in conversations]
        keys = [digest(one) for one in conversations]
        for n, one in replies(self.writer, self.prompter, histories, queries, keys, self.decoding):
            yield n, one.text


def told(messages: Sequence[Message]) -> list[Turn]:
    return [Turn(one.content, other.content) for one, other in zip(messages[::2], messages[1::2], strict=True)]


def answers(
    writer: Writer, prompter: Prompter, decoding: Decoding, questions: Sequence[Question], path: Path, by: str
) -> list[Answered]:
    return answer(questions, Talker(writer, prompter, decoding), path, by=by, block=TOGETHER)
