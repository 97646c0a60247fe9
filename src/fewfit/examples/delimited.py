"""CSV and TSV, the first line naming the columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fewfit.errors import UserError
from fewfit.examples.table import Row, Table, broken
from fewfit.examples.text import decode, read_bytes, repeated, shorten

LONGEST_CELL = 1 << 27  # csv's own limit of 128 KiB a cell is less than a document


def read_csv(path: Path) -> Table:
    return _read(path, ",")


def read_tsv(path: Path) -> Table:
    return _read(path, "\t")


def _read(path: Path, delimiter: str) -> Table:
    text = decode(read_bytes(path), path)
    notices = []
    first = text.lstrip("\r\n").splitlines()[0]
    if delimiter == "," and "," not in first and (other := next((mark for mark in ";\t" if mark in first), None)):
        delimiter = other
        notices.append(f"cells are separated by {'tabs' if other == chr(9) else 'semicolons'}")
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        rows = _rows(path, text, delimiter)
    finally:
        csv.field_size_limit(limit)
    return Table(tuple(rows), path.stem, str(path), tuple(notices))


def _rows(path: Path, text: str, delimiter: str) -> list[Row]:
    # newline="" leaves line ends inside quoted cells as they are; csv itself takes any of them between rows.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    line = 1
    try:
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_header(header, where)
                continue
            number = len(rows) + 1
            if len(cells) != len(header):
                message = f"{len(cells)} cells where the header has {len(header)}: {shorten(delimiter.join(cells))}"
                rows.append(broken(number, where, message, "quote cells that hold the separator"))
            else:
                rows.append(Row(number, where, dict(zip(header, cells))))
    except csv.Error as error:
        hint = 'close the quote, and write a quote inside a quoted cell as ""'
        raise UserError(f"not readable: {error}", where=f"{path}:{line}", hint=hint) from None
    return rows


def _check_header(header: list[str], where: str) -> None:
    twice = repeated(header)
    if twice is not None:
        name = repr(twice) if twice else "without a name"
        raise UserError(f"a column {name} stands twice in the header", where=where, hint="name each column once")
