"""Answers over several turns: the conversation is carried on, and what is on disk is not made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.judges import Question
from fewfit.judges.answering import answer
from fewfit.judges.model import Conversation
from tests.judges_made import questions


class Echo:
    """Says how many turns there were and the last one; dies after so many blocks."""

    def __init__(self, blocks: int = 1000):
        self.blocks, self.seen = blocks, list[Conversation]()

    def write(self, conversations: Sequence[Conversation]) -> list[str]:
        if not self.blocks:
            raise KeyboardInterrupt
        self.blocks -= 1
        self.seen += conversations
        return [f"{len(one)} turns, {one[-1].content}" for one in conversations]


def test_the_conversation_so_far_is_carried_on(tmp_path: Path) -> None:
    """Also where some have more turns than others. Break seen to fail: the answer left out of the next turn."""
    some = [Question("1", ("a", "b", "c")), Question("2", ("d",)), Question("3", ("e", "f"))]
    writer = Echo()
    found = answer(some, writer, tmp_path / "answers.jsonl", by="echo")
    assert [one.answers for one in found] == [
        ("1 turns, a", "3 turns, b", "5 turns, c"), ("1 turns, d",), ("1 turns, e", "3 turns, f")
    ]  # fmt: skip
    assert [one.question for one in found] == some and {one.by for one in found} == {"echo"}
    assert writer.seen[-1] == (
        Message("user", "a"), Message("assistant", "1 turns, a"),
        Message("user", "b"), Message("assistant", "3 turns, b"), Message("user", "c"),
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert lines[0] == {"by": "echo"}
    assert [(one["id"], one["turn"], one["answer"]) for one in lines[1:4]] == [
        ("1", 1, "1 turns, a"), ("2", 1, "1 turns, d"), ("3", 1, "1 turns, e")
    ]  # fmt: skip


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 5])
def test_what_was_answered_before_a_kill_is_not_asked_again(tmp_path: Path, blocks: int) -> None:
    """Break seen to fail: the file written when all turns are there; the torn line kept."""
    file, some = tmp_path / "answers.jsonl", questions(5)
    first = Echo(blocks)
    with pytest.raises(KeyboardInterrupt):
        answer(some, first, file, block=2)
    with file.open("a") as torn:
        torn.write('{"id": "4", "turn": 2, "ask')
    second = Echo()
    found = answer(some, second, file, block=2)
    assert len(first.seen) + len(second.seen) == 10 and not set(first.seen) & set(second.seen)
    assert found == answer(some, Echo(), tmp_path / "fresh.jsonl")
    assert answer(some, Echo(0), file) == found  # nothing is left to write


class Drip:
    """Gives answers as they end, the last asked first; dies after so many, when `lines` are on the disk."""

    def __init__(self, file: Path, answers: int = 1000):
        self.file, self.left, self.lines, self.seen = file, answers, 0, list[Conversation]()

    def stream(self, conversations: Sequence[Conversation]) -> Iterator[tuple[int, str]]:
        for k, one in reversed(list(enumerate(conversations))):
            if not self.left:
                self.lines = len(self.file.read_text().splitlines())
                raise KeyboardInterrupt
            self.left -= 1
            self.seen.append(one)
            yield k, f"{len(one)} turns, {one[-1].content}"


@pytest.mark.parametrize("ended", [1, 3, 7])
def test_of_a_block_that_is_killed_what_had_ended_is_kept(tmp_path: Path, ended: int) -> None:
    """Break seen to fail: lines flushed when the block is done."""
    file, some = tmp_path / "answers.jsonl", questions(5)
    first, second = Drip(file, ended), Drip(file)
    with pytest.raises(KeyboardInterrupt):
        answer(some, first, file, block=5)
    assert first.lines == 1 + ended
    found = answer(some, second, file, block=5)
    assert len(first.seen) + len(second.seen) == 10 and not set(first.seen) & set(second.seen)
    assert found == answer(some, Echo(), tmp_path / "fresh.jsonl")


def test_changed_questions_are_asked_anew_and_other_writers_refused(tmp_path: Path) -> None:
    """Break seen to fail: answers found by the question's id and turn."""
    file = tmp_path / "answers.jsonl"
    answer([Question("1", ("a", "b"))], Echo(), file, by="base")
    writer = Echo()
    (found,) = answer([Question("1", ("a", "B"))], writer, file, by="base")
    assert found.answers == ("1 turns, a", "3 turns, B") and len(writer.seen) == 1
    with pytest.raises(UserError, match="holds the answers of 'base', not of 'urial'"):
        answer([Question("1", ("a",))], Echo(), file, by="urial")
    for text in ("{}\n", "hello\n", '{"by": "base"}\n{"answer": 1}\n', "[]\n"):
        file.write_text(text)
        with pytest.raises(UserError, match="holds something else than answers"):
            answer([Question("1", ("a",))], Echo(), file, by="base")
