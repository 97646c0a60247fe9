"""Parquet, through the `data` extra."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fewfit.errors import UserError
from fewfit.examples.table import Row, Table


def read_parquet(path: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            "reading Parquet needs pyarrow", where=str(path), hint="pip install 'fewfit[data]', or save it as JSONL"
        ) from None
    try:
        table = parquet.read_table(path)
        records = table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:  # the latter: a day in year 10000
        raise UserError(f"not a Parquet file: {error}", where=str(path), hint="write it anew") from None
    rows = tuple(Row(n, f"{path}, row {n}", record) for n, record in enumerate(records, start=1))
    return Table(rows, path.stem, str(path), (), _class_names(table.schema.metadata or {}))


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """What `datasets` writes of its ClassLabel columns."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: tuple(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (LookupError, ValueError, TypeError, AttributeError):  # none, or written by somebody else
        return {}
