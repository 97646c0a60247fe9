"""Rows from Python: lists, pandas, polars and `datasets`, known by what they can do and never imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.cells import missing
from fewfit.examples.example import Example, as_dict
from fewfit.examples.table import Row, Table, broken

KINDS = 'a file, a list of dicts such as {"prompt": "…", "completion": "…"}, a DataFrame or a datasets.Dataset'


def read_python(source: Any) -> Table:
    if isinstance(source, Mapping):
        keys = ", ".join(map(str, source))
        raise UserError(f"one dict with the keys {keys}", where="examples", hint="give a list of rows, or one split")
    names: dict[str, tuple[str, ...]] = {}
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        columns = [str(column) for column in source.columns]
        if twice := next((column for column in columns if columns.count(column) > 1), None):
            raise UserError(f"a column {twice!r} stands in it twice", where="examples", hint="name each column once")
        # polars has to_dicts(), pandas to_dict("records")
        records = source.to_dicts() if hasattr(source, "to_dicts") else _whole(source.to_dict("records"))
        name = "frame"
    elif isinstance(source, Iterable) and not isinstance(source, bytes):
        records, name = source, "examples"
        features = getattr(source, "features", None)
        if isinstance(features, Mapping):
            name = str(getattr(getattr(source, "info", None), "dataset_name", None) or "dataset")
            for column, feature in features.items():
                if labels := getattr(feature, "names", None):
                    names[column] = tuple(map(str, labels))
    else:
        raise UserError(f"cannot read examples from {type(source).__name__}", hint=f"give {KINDS}")
    rows = tuple(_row(number, record) for number, record in enumerate(records, start=1))
    return Table(rows, name, "examples", (), names)


def _whole(records: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """pandas turns whole numbers to floats where one of the column is missing: they are whole again."""
    for column in records[0] if records else ():
        values = [record[column] for record in records]
        there = [value for value in values if not missing(value)]
        if len(there) < len(values) and all(isinstance(value, float) and value.is_integer() for value in there):
            records = [
                record if missing(record[column]) else {**record, column: int(record[column])} for record in records
            ]
    return records


def _row(number: int, record: Any) -> Row:
    where = f"row {number}"
    if isinstance(record, Example):
        return Row(number, where, as_dict(record))
    if isinstance(record, Mapping):
        return Row(number, where, {str(key): plain(value) for key, value in record.items()})
    if isinstance(record, tuple) and len(record) == 2:
        return Row(number, where, {"prompt": plain(record[0]), "completion": plain(record[1])})
    message = f"a row of type {type(record).__name__}"
    return broken(number, where, message, "give dicts, (prompt, completion) tuples or fewfit.Example")


def plain(value: Any) -> Any:
    """numpy's scalars and arrays as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value
