"""Conversations from data sets: messages, prompts with completions, instructions with outputs (Alpaca) or with
instances (Self-Instruct)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fewfit.errors import UserError
from fewfit.examples import Message, cells, read, shapes
from fewfit.examples.cells import Notices
from fewfit.examples.table import Row
from fewfit.prompts.conversation import Conversation, Turn
from fewfit.render.settings import BLANK_LINE


def conversations(source: Any) -> tuple[Conversation, ...]:
    """All rows of a file (JSONL, JSON, CSV, TSV, Parquet) or of a list, in their order. A system turn is put before the
    first query: a frame has no other place for it."""
    table = read(source)
    found: dict[str, Conversation] = {}
    for row in table.rows:
        for one in of_row(row):
            if one.id in found:
                raise UserError(f"the id {one.id!r} stands there twice", where=row.where, hint="give each its own")
            found[one.id] = one
    if not found:
        raise UserError("holds no conversation", where=table.where, hint="give messages, or prompt and completion")
    return tuple(found.values())


def of_row(row: Row) -> Iterator[Conversation]:
    if row.error is not None or row.cells is None:
        raise row.error or UserError("an empty row", where=row.where)
    where, values, notices = row.where, row.cells, Notices()
    names = shapes.columns(values)
    id = cells.label(values[names["id"]] if "id" in names else None, "the id", where) or str(row.number)
    if "instances" in names and "instruction" in names:
        instances = values[names["instances"]]
        if not cells.is_turns(instances):
            raise UserError("no list of instances", where=where, hint="give objects with input and output")
        for number, instance in enumerate(instances, 1):
            one = instructed(values[names["instruction"]], instance, where, notices)
            yield Conversation(id if len(instances) == 1 else f"{id}/{number}", (one,))
    elif "instruction" in names and "output" in names:
        own = {"input": values[names["input"]] if "input" in names else "", "output": values[names["output"]]}
        yield Conversation(id, (instructed(values[names["instruction"]], own, where, notices),))
    else:
        yield Conversation(id, tuple(told(values, where, notices)))


def instructed(instruction: Any, rest: Any, where: str, notices: Notices) -> Turn:
    query = cells.text(instruction, "the instruction", where, notices).strip()
    if not cells.empty(rest.get("input")):
        query = BLANK_LINE.join((query, cells.text(rest["input"], "the input", where, notices).strip())).strip()
    return Turn(query, cells.text(rest.get("output"), "the output", where, notices).strip())


def told(values: Any, where: str, notices: Notices) -> list[Turn]:
    shape = shapes.find(values, where, None, None)
    if shape.is_document:
        raise UserError("a document, and no query", where=where, hint="give messages, or prompt and completion")
    if shape.output is None:
        before, answer = cells.conversation(values[shape.input], where, notices)
    else:
        prompt = cells.prompt(values[shape.input], where, notices)
        before = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        answer = cells.completion(values[shape.output], where, notices)
    return in_turns((*before, Message("assistant", answer)), where)


def in_turns(messages: Sequence[Message], where: str) -> list[Turn]:
    system = [one.content.strip() for one in messages if one.role == "system"]
    spoken = [one for one in messages if one.role != "system"]
    if [one.role for one in spoken] != ["user", "assistant"] * (len(spoken) // 2):
        roles = " ".join(one.role for one in spoken)
        raise UserError(f"user and assistant do not take turns ({roles})", where=where, hint="join or drop messages")
    queries, answers = spoken[::2], spoken[1::2]
    turns = [Turn(one.content.strip(), other.content.strip()) for one, other in zip(queries, answers, strict=True)]
    turns[0] = Turn(BLANK_LINE.join((*system, turns[0].query)), turns[0].answer)
    return turns
