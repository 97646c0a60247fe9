"""The best condition as a bundle: its prompt, its weights and the decoding that it was best with, ready to serve."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewfit.bundle import folder as bundles
from fewfit.bundle.record import Bundle
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models.configs import context_length
from fewfit.models.local import Loaded
from fewfit.suites.instruct import tuning
from fewfit.suites.instruct.conditions import Condition, condition
from fewfit.suites.instruct.examples import Material, drawn
from fewfit.suites.instruct.studies import READ
from fewfit.writing import Sampling

PROBE = "What is a mill for?"


def best(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A row of the condition and decoding that have the highest mean over turns, sets and seeds by the first judge, of
    those that a bundle can hold; the first of equals, its lowest seed."""
    rows = [row for row in rows if row["study"] not in READ]
    if not rows:
        raise UserError("nothing to save", hint="run a study in which answers are written")
    judge = next((row["judge"] for row in rows if row["n"]), None)
    means: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if row["judge"] == judge and row["n"] and holds(condition(row["condition"])):
            means.setdefault(place(row), []).append(row["score"])
    if not means:
        raise UserError("no condition that a bundle can hold", hint="those with a tag or changed examples it cannot")
    chosen = max(means, key=lambda one: sum(means[one]) / len(means[one]))
    return min((row for row in rows if place(row) == chosen), key=lambda row: row["seed"])


def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["condition"], row["temperature"], row["top_p"], row["repetition_penalty"]


def holds(one: Condition) -> bool:
    """Examples as they are, and nothing between conversations."""
    return not one.tag and one.quality == "correct"


def refuse(folder: Path, loaded: Loaded | None) -> None:
    """Before anything is asked."""
    if loaded is None:
        raise UserError("--save with a model behind an endpoint", hint="a bundle holds a model of this machine")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / bundles.FILE).exists())):
        raise UserError("is there and is no bundle", where=str(folder), hint="name another folder for --save")


def save(
    row: Mapping[str, Any],
    loaded: Loaded,
    material: Material,
    adapter: Path | None,
    folder: Path,
    probe: tuple[int, ...],
) -> Bundle:
    """`probe` are the tokens of PROBE as the suite asked it: a bundle that would ask otherwise is refused."""
    one = condition(row["condition"])
    shown = tuple(tuning.as_examples(drawn(material, one, row["seed"])))
    frame = None if row["chat"] else material.urial.frame
    settings = tuning.renderer_for(loaded, frame).settings
    rules = material.urial.rules.strip() if one.rules else None
    context = context_length(loaded.model.config)
    settings = replace(
        settings,
        max_length=context,
        max_new_tokens=row["max_new_tokens"],
        system=rules if frame is None else None,
        instruction=None if frame is None else rules,
    )
    renderer = tuning.Renderer(loaded.tokenizer, settings)
    if renderer.prompt(shown, Example("probe", PROBE, "")).ids != probe:
        raise UserError(
            f"the prompt of {row['condition']} is laid out otherwise in a bundle",
            where=str(folder),
            hint="a bundle has one blank line between its parts and one turn to an example: write the prompt file so",
        )
    lane = Lane(shots=len(shown))
    if one.weights is not None:
        trained = tuning.lane_of(one.weights, row["lr"])
        lane = replace(trained, use_shots=len(shown) if len(shown) != trained.shots else None)
    lane = replace(lane, deliver="fixed") if shown else lane
    return bundles.save(
        folder,
        lane=lane,
        seed=row["seed"],
        n=one.needs_pool,
        loaded=loaded,
        settings=settings,
        metric="match",
        sets=(shown,),
        export=None if adapter is None else copying(adapter),
        end_ids=renderer.end_ids,
        end_text=renderer.end_text,
        sampling=Sampling(row["temperature"], row["top_p"], row["repetition_penalty"]),
    )


def copying(adapter: Path) -> Callable[[Path], None]:
    def copy(folder: Path) -> None:
        shutil.copytree(adapter, folder, dirs_exist_ok=True)

    return copy
