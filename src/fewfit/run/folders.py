"""A run's folder: what was asked and what it resolved to, the lock, and where to find a run."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.files import hold, write_json

SCHEMA = 1
RUNS = Path("runs")
# What run.json is read for before anything else
PARTS: dict[str, type] = {
    "asked": dict, "data": dict, "models": list, "metric": str, "answer_patterns": list, "lanes": list, "seeds": list,
}  # fmt: skip
RECORD, EXAMPLES, RESULT = "run.json", "examples.jsonl", "result.json"
PREDICTIONS, TRAINED, LANES, BUNDLE, RUNNERS_UP = "predictions.jsonl", "trained.jsonl", "lanes", "bundle", "runners-up"
AGAIN = "again"


def create(out: Path | None, data: str, model: str) -> Path:
    """A new run folder, its owner's alone: examples may be private."""
    if out is None:
        stem = f"{slug(data)}-{slug(model.rstrip('/').split('/')[-1])}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder, count = RUNS / stem, 1
        while not is_new(folder):
            count += 1
            folder = RUNS / f"{stem}-{count}"
    else:
        folder = out
        if folder.exists() and not folder.is_dir():
            raise UserError("is a file, and a run is a folder", where=str(folder), hint="name another --out")
        if (folder / RECORD).exists():
            raise UserError(
                "holds a run already", where=str(folder), hint=f"fewfit resume {folder}, or name another --out"
            )
        if folder.exists() and any(folder.iterdir()):
            raise UserError("is a folder with other things in it", where=str(folder), hint="name another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise no_folder(folder, error) from error
    return folder


def is_new(folder: Path) -> bool:
    """Made here and now: two runs that begin in one second do not share a folder."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not folder.parent.is_dir():
            raise EnvironmentProblem("is a file, and runs go into that folder", where=str(folder.parent)) from None
        return False
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise no_folder(folder, error) from error
    return True


def no_folder(folder: Path, error: Exception) -> EnvironmentProblem:
    reason = getattr(error, "strerror", None) or error
    return EnvironmentProblem(
        f"cannot make the run folder: {reason}", where=str(folder), hint="name another one with --out"
    )


def slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:40] or "run"


def remember(folder: Path) -> None:
    """So that `last` finds it, also with --out elsewhere."""
    try:
        RUNS.mkdir(exist_ok=True)
        (RUNS / ".last").write_text(str(folder.resolve()) + "\n")
    except OSError:
        return  # a folder where nothing may be written: the run itself lies elsewhere, only `last` will not find it


def place(name: str | Path) -> Path:
    """The last run, by `last`; any other folder as it is named: a bundle lies in no run where it was copied to."""
    return find(name) if str(name) == "last" and not Path("last").exists() else Path(name)


def find(name: str | Path) -> Path:
    """A run by folder, or `last`."""
    if str(name) == "last" and not Path("last").exists():
        pointer = RUNS / ".last"
        folder = Path(pointer.read_text().strip()) if pointer.exists() else None
        if folder is None or not (folder / RECORD).exists():
            raise UserError("there is no last run here", hint="start one with: fewfit fit DATA --model MODEL")
        return folder
    folder = Path(name)
    if not (folder / RECORD).exists():
        raise UserError("is no run folder (it has no run.json)", where=str(name), hint="name a folder that fit made")
    return folder


def record(folder: Path) -> dict[str, Any]:
    try:
        loaded = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"run.json is damaged: {error}", where=str(folder), hint="start the run anew") from error
    if not isinstance(loaded, dict):
        raise UserError("run.json holds no record of a run", where=str(folder), hint="start the run anew")
    if loaded.get("schema") != SCHEMA:
        raise UserError(
            f"was written with schema {loaded.get('schema')}", where=str(folder), hint="use the fewfit that wrote it"
        )
    if lacking := [name for name, kind in PARTS.items() if not isinstance(loaded.get(name), kind)]:
        raise UserError(f"run.json lacks {', '.join(lacking)}", where=str(folder), hint="start the run anew")
    return loaded


def shows_text(record: dict[str, Any]) -> bool:
    """Whether the run's pages may show its examples: what --no-text said at its start."""
    return not record["asked"].get("no_text", {}).get("value", False)


def result(folder: Path) -> dict[str, Any]:
    path = folder / RESULT
    if not path.exists():
        raise UserError("the run is not done", where=str(folder), hint=f"fewfit resume {folder}")
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        hint = f"remove it, then fewfit resume {folder}"
        raise UserError(f"{RESULT} is damaged: {error}", where=str(folder), hint=hint) from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("best"), str):
        hint = f"remove it, then fewfit resume {folder}"
        raise UserError(f"{RESULT} holds no result", where=str(folder), hint=hint)
    return loaded


def write_record(folder: Path, content: dict[str, Any]) -> None:
    write_json(folder / RECORD, {"schema": SCHEMA, **content})


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """One writer a run. The system lets go of it when the process dies, however it dies."""
    path = folder / ".lock"
    with path.open("a+") as file:
        try:
            hold(file)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(f"is being written by {holder}", where=str(folder), hint="wait for it, or end it") from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("fewfit", "torch", "transformers", "peft", "safetensors", "numpy", "scipy", "tokenizers"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
