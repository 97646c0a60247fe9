"""Prompts from files: URIAL's published ones and whatever is written like them, as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from fewfit.errors import UserError
from fewfit.examples.text import decode, read_bytes
from fewfit.prompts.chat import ChatPrompt
from fewfit.prompts.conversation import Conversation, Turn
from fewfit.prompts.frame import Frame
from fewfit.prompts.prompter import Prompter
from fewfit.prompts.urial import UrialPrompt

OURS = "instruct"
_FENCE = re.compile(r"(`{3,}|~{3,})")


def load(path: str | Path) -> UrialPrompt:
    """What stands before the first query is rules; how queries are fenced, the file says."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError("no such file", where=str(path), hint="name a text file with the rules, examples, or both")
    return parsed(decode(read_bytes(path), path), path.stem, where=str(path))


def showing(
    file: UrialPrompt,
    name: str,
    shown: tuple[Conversation, ...],
    *,
    chat: bool,
    rules: bool = True,
    tag: str = "",
) -> Prompter:
    """Other examples in the place of a file's own: in its frame, or by the model's chat template."""
    told = file.rules if rules else ""
    if chat:
        return ChatPrompt(name, told, shown)
    frame = replace(file.frame, tag=tag) if tag else file.frame
    return replace(file, name=name, rules=told, demonstrations=shown, frame=frame)


def ours() -> UrialPrompt:
    """Rules and three examples of fewfit's own."""
    text = (resources.files("fewfit.prompts") / "shipped" / f"{OURS}.txt").read_text(encoding="utf-8")
    return parsed(text, OURS, where=f"{OURS}.txt")


def parsed(text: str, name: str, *, where: str, frame: Frame | None = None) -> UrialPrompt:
    frame = frame or Frame()
    parts = list(pieces(text, frame))
    rules = text[: parts[0].start] if parts else text.rstrip()
    if not parts and not rules.strip():
        raise UserError("an empty prompt", where=where, hint="write rules, or queries and answers under their headings")
    bodies = [body for part in parts for _, body in part.bodies]
    fences = [found[0] for body in bodies if (found := _FENCE.match(body.strip()))]
    fence = fences[0] if fences else ""
    queries = [body.strip() for part in parts for kind, body in part.bodies if kind == frame.query_head]
    inline = bool(fence and queries) and all(not re.match(rf"{fence}[ \t]*\n", query) for query in queries)
    if parts:
        frame = replace(frame, fence=fence, inline=inline)
    shown, as_written = [], {}
    for number, part in enumerate(parts, 1):
        one = Conversation(f"{name}/{number}", tuple(turns(part, frame)))
        if not all(turn.query or turn.answer for turn in one.turns):
            line = text.count("\n", 0, part.start) + 1
            raise UserError("a heading with nothing under it", where=f"{where}:{line}", hint="fill it in, or drop it")
        shown.append(one)
        as_written[one] = text[part.start : part.stop] if number < len(parts) else text[part.start : part.stop].rstrip()
    return UrialPrompt(name, rules, tuple(shown), frame, as_written)


class Piece(NamedTuple):
    """One conversation of a file: where it stands, and what is under each heading."""

    start: int
    stop: int
    bodies: tuple[tuple[str, str], ...]


def pieces(text: str, frame: Frame) -> Iterator[Piece]:
    """Without a tag, every query begins a conversation of its own."""
    heads = (frame.query_head, frame.answer_head)
    start, bodies = 0, list[tuple[str, int, int]]()  # of one conversation: heading, where its text begins and ends

    def piece(stop: int) -> Piece:
        return Piece(start, stop, tuple((head, text[begin:end]) for head, begin, end in bodies))

    at = 0
    for line in text.splitlines(keepends=True):
        mark, here, at = line.strip(), at, at + len(line)
        ends = bodies and (
            mark == frame.tag
            if frame.tag
            else mark == frame.query_head or (mark == frame.answer_head and bodies[-1][0] == frame.answer_head)
        )
        if ends:
            yield piece(here)
            bodies = []
        if mark in heads:
            start = start if bodies else here
            bodies.append((mark, at, at))
        elif bodies:
            bodies[-1] = (*bodies[-1][:2], at)
    if bodies:
        yield piece(len(text))


def turns(part: Piece, frame: Frame) -> Iterator[Turn]:
    query = ""
    for head, body in part.bodies:
        if head == frame.query_head:
            if query:
                yield Turn(query, "")
            query = unfenced(body, frame.fence)
        else:
            yield Turn(query, unfenced(body, frame.fence))
            query = ""
    if query:
        yield Turn(query, "")


def unfenced(body: str, fence: str) -> str:
    body = body.strip()
    if fence and body.startswith(fence):
        body = body.removeprefix(fence).removesuffix(fence)
    return body.strip()
