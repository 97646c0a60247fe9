"""RAFT's sets as published: a folder each, its labelled rows in train.csv and what their columns are in task.json."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from fewfit.errors import UserError
from fewfit.suites.tasks.reading import text_of
from fewfit.suites.tasks.task import Asking, Published, numbered

ROWS, COLUMNS = "train.csv", "task.json"
OF_NO_USE = "ID"


def is_raft(folder: Path) -> bool:
    return (folder / ROWS).is_file() and (folder / COLUMNS).is_file()


def load(folder: Path) -> Published:
    try:
        told = json.loads(text_of(folder / COLUMNS))
        ((column, labels),) = told["label_columns"].items()
        shown = [name for name in told["data_columns"] if name != OF_NO_USE]
        rows = list(csv.DictReader(io.StringIO(text_of(folder / ROWS), newline="")))
        several = len(shown) > 1
        pairs = [
            ("\n".join(f"{name}: {row[name]}" if several else row[name] for name in shown), row[column]) for row in rows
        ]
    except (ValueError, LookupError, TypeError) as error:
        hint = f"a set of RAFT is a folder with {ROWS} and {COLUMNS}"
        raise UserError(f"no RAFT ({type(error).__name__}: {error})", where=str(folder), hint=hint) from None
    return Published(folder.name, numbered(pairs), Asking("choice", choices=tuple(sorted(labels))))
