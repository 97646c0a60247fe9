"""A run's page: put together, and written beside the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.files import publish
from fewfit.report.confusion import confusion
from fewfit.report.costs import costs
from fewfit.report.differences import differences
from fewfit.report.evidence import Evidence
from fewfit.report.heat import heat
from fewfit.report.lanes import lanes
from fewfit.report.mistakes import mistakes
from fewfit.report.more import more
from fewfit.report.opening import heading, opening
from fewfit.report.page import GENERATOR, REPORT, page
from fewfit.report.race import race
from fewfit.report.repeat import repeat, warnings
from fewfit.report.shots import shots
from fewfit.run import folders

SECTIONS = (opening, race, lanes, shots, heat, differences, confusion, more, costs, mistakes, warnings, repeat)


def write_report(
    run: str | Path,
    out: str | Path | None = None,
    *,
    with_text: bool = True,
    tokenizers: Mapping[str | None, Any] | None = None,
) -> Path:
    """The page of a run that is done (a folder, or `last`); where it lies: in the run's folder, unless told otherwise.

    `tokenizers` are those at hand, by the name that their model's lanes carry; others are loaded.
    """
    folder = folders.find(run)
    target = folder / REPORT if out is None else Path(out)
    refuse_other(target)
    shown = with_text and folders.shows_text(folders.record(folder))  # a run without text keeps to that
    publish(target, report(Evidence.of(folder, with_text=shown, tokenizers=tokenizers)).encode())
    return target


def report(run: Evidence) -> str:
    return page(f"fewfit: {heading(run)}", [make(run) for make in SECTIONS])


def refuse_other(target: Path) -> None:
    """A page may be written over, anything else not."""
    if not target.absolute().parent.is_dir():
        raise UserError("its folder is not there", where=str(target), hint="make it, or name another --out")
    if not target.exists():
        return
    if not target.is_file() or f'content="{GENERATOR} '.encode() not in target.read_bytes()[:4096]:
        raise UserError("is there, and is no page of fewfit's", where=str(target), hint="name another --out")
