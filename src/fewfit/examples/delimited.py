"""CSV and TSV, the first line naming the columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

from fewfit.errors import UserError
from fewfit.examples.table import Row, Table, broken
from fewfit.examples.text import decode, read_bytes, repeated, shorten

LONGEST_CELL = 1 << 27  # csv's own limit of 128 KiB a cell is less than a document
Line = tuple[str, list[str]]  # where it stood, and its cells


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
        lines = _tabbed(path, text, notices) if delimiter == "\t" else _lines(path, text, delimiter)
    finally:
        csv.field_size_limit(limit)
    return Table(tuple(_rows(lines, delimiter)), path.stem, str(path), tuple(notices))


def _tabbed(path: Path, text: str, notices: list[str]) -> list[Line]:
    """Many a TSV quotes nothing: where that would lose rows, a quote mark is read as a character like any other."""
    try:
        lines = _lines(path, text, "\t")
        if not any(_swallows(cells, len(lines[0][1])) for _, cells in lines[1:]):
            return lines
    except UserError:
        if '"' in text.lstrip("\r\n").splitlines()[0]:  # who quotes the header quotes
            raise
    notices.append("quote marks are read as text: not every one that opens is closed at the end of its cell")
    return _lines(path, text, "\t", csv.QUOTE_NONE)


def _swallows(cells: list[str], width: int) -> bool:
    """True where what stands between two quote marks is whole rows."""
    pieces = [piece for piece in "\t".join(cells).splitlines() if piece.strip()]
    whole = all(piece.count("\t") == width - 1 for piece in pieces)
    return whole and width > 1 and (len(pieces) > 1 or len(cells) < width)


def _lines(path: Path, text: str, delimiter: str, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL) -> list[Line]:
    """What is not blank, the header first."""
    # newline="" leaves line ends inside quoted cells as they are; csv itself takes any of them between rows.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    lines: list[Line] = []
    line = 1
    try:
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if any(cell.strip() for cell in cells):
                lines.append((where, cells))
    except csv.Error as error:
        hint = 'close the quote, and write a quote inside a quoted cell as ""'
        raise UserError(f"not readable: {error}", where=f"{path}:{line}", hint=hint) from None
    return lines


def _rows(lines: list[Line], delimiter: str) -> list[Row]:
    if not lines:
        return []
    where, first = lines[0]
    names = [cell.strip() for cell in first]
    # Spreadsheets write columns that were once in use as well: no name, and nothing below.
    filled = {at for _, cells in lines for at, cell in enumerate(cells) if cell.strip()}
    header = [name for at, name in enumerate(names) if at in filled]
    _check_header(header, where)
    rows: list[Row] = []
    for number, (where, cells) in enumerate(lines[1:], start=1):
        cells = [cell for at, cell in enumerate(cells) if at in filled or at >= len(names)]
        if len(cells) != len(header):
            message = f"{len(cells)} cells where the header has {len(header)}: {shorten(delimiter.join(cells))}"
            rows.append(broken(number, where, message, 'quote cells that hold the separator (a quote in them is "")'))
        else:
            rows.append(Row(number, where, dict(zip(header, cells))))
    return rows


def _check_header(header: list[str], where: str) -> None:
    twice = repeated(header)
    if twice is not None:
        name = repr(twice) if twice else "without a name"
        raise UserError(f"a column {name} stands twice in the header", where=where, hint="name each column once")
