"""Parquet, through the `data` extra."""

from __future__ import annotations

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
        records = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:  # the latter: a day in year 10000
        raise UserError(f"not a Parquet file: {error}", where=str(path), hint="write it anew") from None
    rows = tuple(Row(n, f"{path}, row {n}", record) for n, record in enumerate(records, start=1))
    return Table(rows, path.stem, str(path))
