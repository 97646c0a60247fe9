"""What every format is read into: rows of named cells, each knowing where it stood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fewfit.errors import UserError


@dataclass(frozen=True)
class Row:
    """One row as read, or what is wrong with it: a reader never stops at a row, the check decides.

    `number` counts rows from 1, broken ones too, so that the ids made from it do not move when a row is mended.
    """

    number: int
    where: str
    cells: Mapping[str, Any] | None
    error: UserError | None = None


@dataclass(frozen=True)
class Table:
    """Rows of one source, unchecked.

    `class_names` are names that the source itself gives to the numbers of a column (`datasets` does).
    """

    rows: tuple[Row, ...]
    source: str
    where: str
    notices: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def broken(number: int, where: str, message: str, hint: str | None = None) -> Row:
    return Row(number, where, None, UserError(message, where=where, hint=hint))
