"""JSON, one row a line or all rows in one array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.table import Row, Table, broken
from fewfit.examples.text import decode, read_bytes, repeated, shorten

ONE_OBJECT_A_LINE = 'write one object a line, as in {"prompt": "…", "completion": "…"}'


def read_jsonl(path: Path) -> Table:
    """One object a line; blank lines count for nothing. A file that holds one array is read as such."""
    content = read_bytes(path)
    if content.lstrip().startswith(b"["):
        try:
            return _array(path, decode(content, path), ("read as one JSON array, whatever its name says",))
        except (UserError, ValueError, RecursionError):
            pass  # lines that are arrays: each is refused below, with its line
    return Table(tuple(_lines(path, content)), path.stem, str(path))


def read_json(path: Path) -> Table:
    """An array of objects, or an object with such an array under "examples" (as BIG-Bench Hard's files are)."""
    content = read_bytes(path)
    text = decode(content, path)
    try:
        return _array(path, text, ())
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            rows = tuple(_lines(path, content))
            return Table(rows, path.stem, str(path), ("read as one JSON object a line, whatever its name says",))
        where = f"{path}:{error.lineno}"
        raise UserError(f"not JSON: {error.msg}", where=where, hint="fix the file there") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"not JSON: {error}", where=str(path), hint="fix the file there") from None


def _lines(path: Path, content: bytes) -> Iterator[Row]:
    number = 0
    # Not splitlines(): it would cut at characters such as U+2028, which may stand inside a JSON string.
    for line, raw in enumerate(content.split(b"\n"), start=1):
        if not raw.strip():
            continue
        number += 1
        where = f"{path}:{line}"
        try:
            value = json.loads(decode(raw, path, line), object_pairs_hook=_object)
        except UserError as error:
            yield Row(number, where, None, error)
        except json.JSONDecodeError as error:
            yield broken(number, where, f"not JSON: {error.msg} at column {error.colno}", ONE_OBJECT_A_LINE)
        except (ValueError, RecursionError) as error:
            yield broken(number, where, f"not JSON: {error}", ONE_OBJECT_A_LINE)
        else:
            yield _row(number, where, value)


def _array(path: Path, text: str, notices: tuple[str, ...]) -> Table:
    whole = json.loads(text, object_pairs_hook=_object)
    items = whole.get("examples") if isinstance(whole, dict) else whole
    if not isinstance(items, list):
        raise UserError("no array of rows in it", where=str(path), hint='write [{…}, {…}], or {"examples": [{…}, {…}]}')
    rows = []
    for number, (line, value) in enumerate(zip(_item_lines(text, isinstance(whole, dict)), items), start=1):
        rows.append(_row(number, f"{path}:{line} (item {number})", value))
    return Table(tuple(rows), path.stem, str(path), notices)


def _row(number: int, where: str, value: Any) -> Row:
    if not isinstance(value, dict):
        shown = shorten(json.dumps(value, ensure_ascii=False))
        return broken(number, where, f"a row must be an object, and this is {shown}", ONE_OBJECT_A_LINE)
    return Row(number, where, value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        twice = repeated(key for key, _ in pairs)
        raise ValueError(f"the key {shorten(repr(twice))} stands in it twice")
    return row


def _item_lines(text: str, in_object: bool) -> Iterator[int]:
    """The line on which each item of the array begins; the text has been parsed before, so it is well formed."""
    decoder = json.JSONDecoder()

    def skip(position: int, marks: str = "") -> int:
        while text[position] in " \t\r\n" + marks:
            position += 1
        return position

    position = skip(0) + 1  # behind the [ or {
    if in_object:
        while True:
            key, position = decoder.raw_decode(text, skip(position, ","))
            position = skip(position, ":")
            if key == "examples":
                break
            _, position = decoder.raw_decode(text, position)
        position += 1
    line, counted = 1, 0
    while text[position := skip(position, ",")] != "]":
        line += text.count("\n", counted, position)
        counted = position
        yield line
        _, position = decoder.raw_decode(text, position)
