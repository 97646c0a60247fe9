"""How a prediction is scored: a name or a function of one's own, always a number in [0, 1].

A new metric is a function in a file here and its line below; tests/conformance/test_every_metric.py says what every one
keeps to. Judges, and functions that see all answers at once or compare two, are `deferred` and `pairwise`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.metrics.edits import edit_similarity
from fewfit.metrics.metric import OWN, Answer, Metric, Needs, deferred, own, pairwise
from fewfit.metrics.patterns import compiled
from fewfit.metrics.structured import json_equal, regex
from fewfit.metrics.words import choice, chrf, contains, exact, match, rouge_l, token_f1

METRICS: dict[str, tuple[Needs, Callable[[str, str], float]]] = {
    "choice": ("choices", choice),
    "exact": ("teacher", exact),
    "contains": ("text", contains),
    "token-f1": ("text", token_f1),
    "rouge-l": ("text", rouge_l),
    "chrf": ("text", chrf),
    "json": ("text", json_equal),
    "edit": ("text", edit_similarity),
}
NAMED = ("match", *METRICS)

__all__ = ["METRICS", "NAMED", "OWN", "Answer", "Metric", "Needs", "auto", "deferred", "metric", "own", "pairwise"]


def metric(wanted: str | Metric | Callable[[str, Example], Any], *, answer_patterns: Sequence[str] = ()) -> Metric:
    """The metric of that name, or a function f(prediction, example) of one's own."""
    if isinstance(wanted, Metric):
        return wanted
    patterns = compiled(answer_patterns)
    if not isinstance(wanted, str):
        if patterns:
            raise UserError("answer patterns with a function of your own", hint="they belong to --metric match")
        return own(wanted)
    if patterns and wanted != "match":
        raise UserError(f"answer patterns with metric {wanted!r}", hint="they belong to --metric match")
    if wanted.startswith("regex:"):
        return Metric(wanted, "text", regex(wanted.removeprefix("regex:")))
    if wanted == "match":
        return Metric(wanted, "text", lambda prediction, example, _: match(prediction, example.completion, patterns))
    if wanted in METRICS:
        needs, function = METRICS[wanted]
        return Metric(wanted, needs, lambda prediction, example, _: function(prediction, example.completion))
    if wanted.startswith(OWN):
        name = wanted.removeprefix(OWN)
        raise UserError(
            f"scored by a function of your own, {name!r}", hint=f"hand it in again: fewfit.resume(RUN, metric={name})"
        )
    raise UserError(f"unknown metric {wanted!r}", hint=f"one of: auto, {', '.join(NAMED)}, regex:PATTERN, a function")


def auto(dataset: Any) -> str:
    """What `auto` resolves to: `choice` where the data have choices, else `match`. Takes a data set or its examples."""
    examples = getattr(dataset, "examples", dataset)
    if getattr(dataset, "choices", None) or any(example.choices for example in examples):
        return "choice"
    return "match"
