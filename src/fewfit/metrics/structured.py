"""Answers that are JSON, or match a pattern."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.metrics.metric import Score
from fewfit.metrics.patterns import a_while, checked, shortened

FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL)
NOT_JSON = object()


def json_equal(prediction: str, answer: str) -> float:
    """Both parsed: order of keys, white space and 1 against 1.0 do not matter. A code fence around it is taken off."""
    wanted = parsed(answer)
    if wanted is NOT_JSON:
        raise UserError(f"metric json: the answer {shortened(answer)} is no JSON", hint="fix the row, or take match")
    return float(same_value(parsed(prediction), wanted))


def parsed(text: str) -> Any:
    fenced = FENCE.fullmatch(text.strip())
    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return NOT_JSON


def no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def same_value(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):  # Python holds True and 1 equal
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same_value(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def regex(pattern: str) -> Score:
    """The trimmed prediction matches the whole pattern; `{answer}` in it stands for the row's answer, literally."""
    checked(pattern.replace("{answer}", "x"), "--metric regex:")

    def how(prediction: str, example: Example, choices: Sequence[str] | None) -> float:
        full = pattern.replace("{answer}", re.escape(example.completion.strip()))
        with a_while(pattern):
            return float(re.fullmatch(full, prediction.strip()) is not None)

    return how
