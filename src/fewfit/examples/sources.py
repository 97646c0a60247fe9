"""Where rows come from: one reader a format, chosen by the file's name, or Python's own."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.delimited import read_csv, read_tsv
from fewfit.examples.jsonl import read_json, read_jsonl
from fewfit.examples.parquet import read_parquet
from fewfit.examples.python import read_python
from fewfit.examples.table import Table
from fewfit.examples.text import shorten

READERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
FORMATS = "JSONL, JSON, CSV, TSV or Parquet"


def read(source: Any) -> Table:
    """The rows as they stand; nothing is checked but that they can be read."""
    if isinstance(source, Table):
        return source
    if not isinstance(source, str | Path):
        return read_python(source)
    path = Path(source).expanduser()
    where = str(path)
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except OSError as error:  # a name of a thousand letters, most likely the rows themselves
        hint = "give a file's path, or the rows as a list"
        raise UserError(f"no file: {error.strerror}", where=shorten(where), hint=hint) from None
    if is_folder:
        raise UserError("this is a folder", where=where, hint=f"name one file in it: {FORMATS}")
    if not is_there:
        folder = path.parent
        near = get_close_matches(path.name, [p.name for p in folder.iterdir()] if folder.is_dir() else [], n=1)
        raise UserError(
            "no such file", where=where, hint=f"did you mean {folder / near[0]}?" if near else "check the path"
        )
    if not path.is_file():
        hint = "its rows are read more than once: write them to a file first"
        raise UserError("no file, but a pipe, a socket or a device", where=where, hint=hint)
    if where != where.encode(errors="replace").decode():
        raise UserError("the name of the file is not UTF-8", where=where, hint="rename it")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        kind = f"files of the kind {path.suffix}" if path.suffix else "a file without an ending"
        raise UserError(f"cannot read {kind}", where=where, hint=f"save it as {FORMATS}, with the ending to match")
    try:
        return reader(path)
    except OSError as error:
        raise UserError(
            f"not readable: {error.strerror or error}", where=where, hint="change its permissions"
        ) from None
