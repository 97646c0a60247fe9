"""What a run would do: how often the model is asked and trained, counted without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewfit.suites.instruct import studies
from fewfit.suites.instruct.examples import Material
from fewfit.suites.instruct.questions import QuestionSet
from fewfit.suites.instruct.studies import READ, Study
from fewfit.suites.instruct.subject import NOT_TUNED, Asked


def planned(
    asked: Asked, material: Material, sets: Sequence[QuestionSet], *, remote: bool = False
) -> list[dict[str, Any]]:
    """A row for each study; `new_tokens` are the most that its answers may have. What does not fit the model's context
    is left out only later, and what is there already is not made again."""
    turns = sum(len(question.turns) for one in sets for question in one.questions)
    return [row(study, asked, material, turns, remote) for study in asked.studies]


def row(study: Study, asked: Asked, material: Material, turns: int, remote: bool) -> dict[str, Any]:
    cells = list(studies.cells(study, asked.conditions, asked.sampling, asked.seeds))
    left_out = {}
    for one in (cell.condition for cell in cells):
        if why := NOT_TUNED if remote and (one.weights or study in READ) else material.refuse(one):
            left_out[one.name] = why
    kept = [cell for cell in cells if cell.condition.name not in left_out]
    answers = 0 if study in READ else len(kept) * turns
    return {
        "study": study,
        "cells": len(kept),
        "trainings": len({(cell.condition.weights, cell.seed) for cell in kept if cell.condition.weights}),
        "answers": answers,
        "new_tokens": answers * asked.max_new_tokens,
        "read": 2 * len(kept) * len(material.references) if study == "likelihood" else 0,
        "left_out": left_out,
    }
