"""Questions from the published files, IFEval's and IFBench's, and from files of their shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.text import decode, read_bytes
from fewfit.judges.question import Check, Question
from fewfit.judges.rules.book import RULES

SHAPE = 'one JSON object a line: {"key", "prompt", "instruction_id_list", "kwargs"}'


def load(path: str | Path) -> list[Question]:
    """From a file, or from all *.jsonl files of a folder. Arguments that are null are left out."""
    source = Path(path).expanduser()
    files = sorted(source.glob("*.jsonl")) if source.is_dir() else [source]
    if not files or not all(file.is_file() for file in files):
        raise UserError("no questions here", where=str(source), hint=f"a file or folder of .jsonl, {SHAPE}")
    found: dict[str, Question] = {}
    for file in files:
        for number, line in enumerate(decode(read_bytes(file), file).split("\n"), 1):
            if line.strip():
                question = _question(line, f"{file}:{number}")
                if question.id in found:
                    raise UserError(
                        f"key {question.id!r} a second time", where=f"{file}:{number}", hint="keys tell questions apart"
                    )
                found[question.id] = question
    return list(found.values())


def _question(line: str, where: str) -> Question:
    try:
        row = json.loads(line)
        names, arguments = row["instruction_id_list"], row["kwargs"]
        key, prompt, pairs = str(row["key"]), row["prompt"], list(zip(names, arguments, strict=True))
    except (ValueError, KeyError, TypeError):
        raise UserError("not a question", where=where, hint=SHAPE) from None
    if not isinstance(prompt, str) or not all(isinstance(given, Mapping) for given in arguments):
        raise UserError("not a question", where=where, hint=SHAPE)
    return Question(key, (prompt,), checks=(tuple(checked(name, given, where) for name, given in pairs),))


def checked(name: str, arguments: Mapping[str, Any], where: str) -> Check:
    """A check that there is, with the arguments that it takes."""
    if name not in RULES:
        raise UserError(f"unknown check {name!r}", where=where, hint="fewfit.judges.rules.RULES has all that there are")
    kept = {argument: value for argument, value in arguments.items() if value is not None}
    RULES[name].check(name, kept, where)
    return Check(name, kept)
