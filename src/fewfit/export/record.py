"""What came of an export."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewfit.export.check import Check


@dataclass(frozen=True)
class Export:
    folder: Path
    kinds: tuple[str, ...]
    left_out: dict[str, str]  # kinds that were not asked for by name and cannot be had: why
    checks: tuple[Check, ...]
    commands: tuple[str, ...]
    stop: tuple[str, ...]  # what clients have to give
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}
