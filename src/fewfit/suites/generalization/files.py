"""Worlds as files that others can use: what `fewfit fit DOCUMENTS --probe QUESTIONS` reads, and all that is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.files import publish
from fewfit.suites.generalization.proofs import premises
from fewfit.suites.generalization.suite import Asked, world_of
from fewfit.suites.generalization.world import Fact, World
from fewfit.suites.results import written

DOCUMENTS, QUESTIONS, INFERENCES = "documents.jsonl", "questions.jsonl", "inferences.jsonl"
FACTS = "facts.jsonl"  # as the documents tell them


def write_worlds(asked: Asked, folder: Path) -> list[dict[str, Any]]:
    """A folder for each world and seed, and how much is in it. No model is needed; what others wrote there stays."""
    made = []
    for seed in range(asked.seeds):
        for name in asked.worlds:
            world = world_of(asked, name, seed)
            here = folder / f"{name}-{seed}"
            here.mkdir(parents=True, exist_ok=True)
            rows = contents(world)
            files = {here / file: written(some).encode() for file, some in rows.items()}
            if other := next(
                (path for path, text in files.items() if path.exists() and path.read_bytes() != text), None
            ):
                raise UserError("another world lies there", where=str(other), hint="name another --write")
            for path, text in files.items():
                publish(path, text)
            counts = {file.removesuffix(".jsonl"): len(some) for file, some in rows.items()}
            made.append({"folder": str(here), **counts})
    return made


def contents(world: World) -> dict[str, list[dict[str, Any]]]:
    """An inference's `made_from` are the told facts that it rests on, and by that name the file can be trained on like
    one of `fewfit augment`."""
    told_by: dict[Fact, list[str]] = {}
    for document in world.documents:
        for fact in document.facts:
            told_by.setdefault(fact, []).append(document.id)
    rests_on = premises(world)
    return {
        DOCUMENTS: [{"id": one.id, "text": one.text} for one in world.documents],
        QUESTIONS: [
            {
                "id": one.id,
                "prompt": one.prompt,
                "completion": one.answer,
                "choices": list(one.options),
                "split": one.split,
                "also_right": list(one.also_right),
                "fact": list(one.fact),
                "rests_on": list(map(list, one.made_from)),
            }
            for one in world.questions
        ],
        INFERENCES: [
            {
                "id": one.id,
                "text": one.text,
                "made_from": list(map(list, dict.fromkeys(fact for own in one.facts for fact in rests_on[own]))),
            }
            for one in world.inferences
        ],
        FACTS: [{"fact": list(fact), "documents": by} for fact, by in told_by.items()],
    }
