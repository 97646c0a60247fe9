"""A bundle put to held-out examples, and how their scores are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewfit.bundle import Bundle
from fewfit.examples import Example
from fewfit.metrics import Answer, Metric
from fewfit.models.local import Loaded


def test(loaded: Loaded, made: Bundle, examples: Sequence[Example], judge: Metric) -> list[float]:
    from fewfit.engine.threads import is_small, one_thread
    from fewfit.predict import predictor_of

    predictor = predictor_of(made, model=loaded.model, tokenizer=loaded.tokenizer)
    try:
        with one_thread(is_small(loaded.model)):
            rows = predictor.predict(list(examples), nll=False)
    finally:
        predictor.close()
    answers = [Answer("", 0, one, row["prediction"]) for row, one in zip(rows, examples, strict=True)]
    return [round(score, 4) for score in judge.scores(answers)]


def as_text(scores: Sequence[float]) -> str | list[float]:
    """Hits and misses take a character each."""
    if all(score in (0.0, 1.0) for score in scores):
        return "".join("01"[int(score)] for score in scores)
    return list(scores)


def scores_of(row: Mapping[str, Any]) -> list[float]:
    return numbers(row["scores"])


def numbers(scores: str | Sequence[float]) -> list[float]:
    return [float(one) for one in scores]
