"""BIG-Bench Hard as published: a file a task, {"canary": …, "examples": [{"input": …, "target": …}, …]}.

What a file asks for is read off its targets: letters of options that stand in the input, one of two words, or text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples import Example
from fewfit.suites.tasks.reading import beginning_of, text_of
from fewfit.suites.tasks.task import Asking, Published

LETTER = re.compile(r"\([A-Z]\)")
OPTION = re.compile(r"^(\([A-Z]\))", re.MULTILINE)
OPTIONS = "Options:"
PAIRS = ({"true", "false"}, {"yes", "no"}, {"valid", "invalid"})
FREE_TEXT = Asking("match", answer_patterns=("paper",))


def is_bbh(path: Path) -> bool:
    """The canary is what its authors ask to be kept out of training by, so every copy has it."""
    if path.suffix != ".json":
        return False
    return '"canary"' in beginning_of(path, 200)


def load(path: Path) -> Published:
    try:
        items = json.loads(text_of(path))["examples"]
        pairs = [(str(one["input"]).strip(), str(one["target"]).strip()) for one in items]
    except (ValueError, LookupError, TypeError) as error:
        hint = 'published files are {"canary": …, "examples": [{"input": …, "target": …}]}'
        raise UserError(f"no BIG-Bench Hard ({type(error).__name__}: {error})", where=str(path), hint=hint) from None
    targets = [target for _, target in pairs]
    if sum(bool(LETTER.fullmatch(target)) for target in targets) * 2 > len(targets):
        examples = [Example(str(n), *pair, choices_of(*pair)) for n, pair in enumerate(pairs, start=1)]
        return Published(path.stem, without_repeats(examples), Asking("choice"))
    examples = [Example(str(n), *pair) for n, pair in enumerate(pairs, start=1)]
    words = sorted(set(targets))
    closed = {word.lower() for word in words} in PAIRS and len(words) == 2
    asking = Asking("choice", choices=tuple(words)) if closed else FREE_TEXT
    return Published(path.stem, without_repeats(examples), asking)


def choices_of(prompt: str, target: str) -> tuple[str, ...]:
    """The letters of this item's options. A few items are odd: a target that is no letter, or not that of an option
    there is, is a choice beside them; where one option alone is left, the letter after it is the other."""
    found: list[str] = OPTION.findall(prompt.rpartition(OPTIONS)[2])
    choices = list(dict.fromkeys([*found, target]))
    if len(choices) == 1:
        choices.append(f"({chr(ord(choices[0][1]) + 1)})")
    return tuple(choices)


def without_repeats(examples: Sequence[Example]) -> tuple[Example, ...]:
    first: dict[Any, Example] = {}
    for one in examples:
        first.setdefault((one.prompt, one.completion), one)
    return tuple(first.values())
