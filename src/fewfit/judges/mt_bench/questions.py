"""MT-Bench's questions and reference answers as they are published, or a folder of the same shape.

FOLDER/question.jsonl                  {"question_id", "category", "turns"}
FOLDER/reference_answer/gpt-4.jsonl    {"question_id", "choices": [{"turns"}]}; optional, under any name
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.jsonl import read_jsonl
from fewfit.judges.question import Question

QUESTIONS, REFERENCES, USUAL = "question.jsonl", "reference_answer", "gpt-4.jsonl"
GUIDED = ("math", "reasoning", "coding")  # the categories that are judged beside a reference answer

# How MT-Bench has models answer, and up to how many tokens.
ANSWER_TEMPERATURE = {
    "writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1,
    "math": 0.0, "coding": 0.0, "reasoning": 0.0, "extraction": 0.0,
}  # fmt: skip
ANSWER_TOKENS = 1024


def load(path: str | Path) -> list[Question]:
    """A folder, or a file of questions without references. Each of `GUIDED` needs its reference answers: judged
    without them it would be scored by another protocol than the published one."""
    path = Path(path)
    file = path / QUESTIONS if path.is_dir() else path
    references = read_references(path / REFERENCES) if path.is_dir() else {}
    questions: list[Question] = []
    seen: set[str] = set()
    for where, row in records(file):
        id, turns = str(row.get("question_id", "")), row.get("turns")
        if not id or not texts(turns):
            raise UserError('a question has a "question_id" and "turns", a list of texts', where=where)
        if id in seen:
            raise UserError(f"question {id} stands in it twice", where=where, hint="give each an id of its own")
        seen.add(id)
        category = str(row.get("category", ""))
        answers = references.get(id, ())
        if category in GUIDED and len(answers) < len(turns):
            raise UserError(
                f"question {id} of {category} lacks reference answers: it has {len(answers)} for {len(turns)} turns",
                where=where,
                hint=f"add them to {REFERENCES}/{USUAL} in its folder, or give it another category",
            )
        questions.append(Question(id, tuple(turns), category, tuple(answers)))
    return questions


def read_references(folder: Path) -> dict[str, tuple[str, ...]]:
    files = sorted(folder.glob("*.jsonl"))
    usual = folder / USUAL
    if not files:
        return {}
    if len(files) > 1 and usual not in files:
        raise UserError(f"holds {len(files)} files of reference answers", where=str(folder), hint=f"name one {USUAL}")
    found: dict[str, tuple[str, ...]] = {}
    for where, row in records(usual if usual in files else files[0]):
        choices = row.get("choices")
        turns: Any = choices[0].get("turns") if isinstance(choices, list) and choices else None
        if "question_id" not in row or not texts(turns):
            raise UserError('a reference answer has a "question_id" and "choices": [{"turns": [texts]}]', where=where)
        found[str(row["question_id"])] = tuple(turns)
    return found


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """Where each stands, and what it is."""
    if not path.is_file():
        raise UserError("no such file", where=str(path), hint="see docs/judges.md for the files of MT-Bench")
    for row in read_jsonl(path).rows:
        if row.cells is None:
            raise row.error or UserError("cannot be read", where=row.where)
        yield row.where, row.cells


def texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one.strip() for one in value)
