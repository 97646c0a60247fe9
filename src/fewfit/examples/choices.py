"""The labels of a data set: found, or given and held to."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.cells import MOST_CHOICES, distinct, scalar
from fewfit.examples.text import decode, read_bytes, shorten

MOST_FOUND = 20  # of free answers; a column that says it holds labels may hold more
MOST_NUMBERS = 5  # numbers beyond a small scale are an open set: the answer to come may be one not seen yet
LONGEST_CHOICE = 6  # words
_NUMBER = re.compile(r"[+-]?[\d.,]+%?")


def find(completions: Sequence[str], label_column: bool) -> tuple[str, ...] | None:
    """The answers as choices, if they are labels; sorted, so that the order of the options tells nothing.

    A label column: at least two, and half as many as rows at the most. Other answers, besides: at most 20, short and on
    one line, and at most a third as many as rows (half, where there are two or three); numbers only up to five.
    """
    n, options = len(completions), sorted(set(completions))
    if not 2 <= len(options) <= min(n / 2, MOST_CHOICES):
        return None
    if label_column:
        return tuple(options)
    if len(options) > MOST_FOUND or (len(options) > 3 and len(options) > n / 3):
        return None
    if any("\n" in option or len(option.split()) > LONGEST_CHOICE for option in options):
        return None
    if len(options) > MOST_NUMBERS and all(_NUMBER.fullmatch(option) for option in options):
        return None
    return tuple(options)


def parse(given: str | Sequence[str]) -> tuple[str, ...]:
    """`a,b`, `@file` (a choice a line, or a JSON array), or a sequence; in the order given."""
    if not isinstance(given, str):
        options = [_written(option) for option in given]
    elif given.startswith("@"):
        options = _from_file(Path(given[1:]))
    else:
        options = [option.strip() for option in given.split(",")]
    if "" in options:
        raise UserError("an empty choice", where="--choices", hint="write them as --choices yes,no")
    return distinct(options, "--choices")


def _from_file(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"no file {str(path)!r}", where="--choices", hint="write @ and the file's path")
    text = decode(read_bytes(path), path)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if text.lstrip().startswith("["):
        try:
            return [_written(option) for option in json.loads(text)]
        except (ValueError, RecursionError) as error:
            if len(lines) == 1 or not lines[0].endswith("]"):  # else labels such as [POS]
                raise UserError(f"not JSON: {error}", where=str(path), hint="or write one choice a line") from None
    return lines


def _written(option: Any) -> str:
    """As the same value is written where it is an answer."""
    return (scalar(option) or str(option)).strip()


def parse_labels(given: str | Mapping[Any, str]) -> dict[str, str]:
    """`0=negative,1=positive`: what the answer column says → what it means."""
    if isinstance(given, Mapping):
        pairs = [(scalar(key) or str(key), str(value).strip()) for key, value in given.items()]
        if empty := next((key for key, value in pairs if not value), None):
            raise UserError(f"the label of {shorten(empty)!r} is empty", where="--labels", hint="write what it means")
    else:
        pairs = []
        for part in given.split(","):
            key, equals, value = part.partition("=")
            if not equals or not key.strip() or not value.strip():
                message, hint = f"{shorten(part)!r} is no value=label", "write them as --labels 0=negative,1=positive"
                raise UserError(message, where="--labels", hint=hint)
            pairs.append((key.strip(), value.strip()))
    labels = dict(pairs)
    if len(labels) != len(pairs):
        raise UserError("one value is given two labels", where="--labels", hint="name each value once")
    return labels


def near_twins(completions: Sequence[str]) -> list[str]:
    """Answers that differ in case alone, as lines: one label written in two ways makes two choices."""
    counts = Counter(completions)
    folded: dict[str, list[str]] = {}
    for completion in sorted(counts):
        folded.setdefault(completion.casefold(), []).append(completion)
    return [
        " and ".join(f"{shorten(form)!r} ({counts[form]})" for form in forms)
        for forms in folded.values()
        if len(forms) > 1
    ]
