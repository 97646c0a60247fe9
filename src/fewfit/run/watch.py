"""What a run tells while it goes: the face of the live table and of callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fewfit.grid import Lane


@dataclass(frozen=True)
class RunInfo:
    """What there is to be done, told once at the start (and again on resuming, with `done` filled)."""

    folder: Path
    data: str
    n: int
    models: tuple[str, ...]
    metric: str
    lanes: tuple[Lane, ...]
    seeds: tuple[int, ...]
    totals: dict[str, int]  # steps of each lane under one seed
    notices: tuple[str, ...] = ()
    majority: float | None = None
    documents: int = 0  # what is read, where it is not the examples themselves
    done: dict[tuple[str, int], int] = field(default_factory=dict)  # rows predicted before, by (lane, seed)


class Watch(Protocol):
    def begin(self, info: RunInfo) -> None: ...

    def phase(self, text: str) -> None: ...

    def row(self, lane: str, seed: int, row: dict[str, Any], done_share: float) -> None: ...

    def lane(self, lane: str, seed: int, status: str) -> None: ...

    def end(self, result: dict[str, Any] | None) -> None: ...


OnRow = Callable[[dict[str, Any]], None]
OnLane = Callable[[str, int, str], None]


class Together:
    """Several watches, or none, as one."""

    def __init__(self, *watches: Watch | None):
        self.watches = [one for one in watches if one is not None]

    def begin(self, info: RunInfo) -> None:
        for one in self.watches:
            one.begin(info)

    def phase(self, text: str) -> None:
        for one in self.watches:
            one.phase(text)

    def row(self, lane: str, seed: int, row: dict[str, Any], done_share: float) -> None:
        for one in self.watches:
            one.row(lane, seed, row, done_share)

    def lane(self, lane: str, seed: int, status: str) -> None:
        for one in self.watches:
            one.lane(lane, seed, status)

    def end(self, result: dict[str, Any] | None) -> None:
        for one in self.watches:
            one.end(result)


class Callbacks(Together):
    """Plain functions as a watch, beside another one if there is any."""

    def __init__(self, inner: Watch | None = None, on_row: OnRow | None = None, on_lane: OnLane | None = None):
        super().__init__(inner)
        self.on_row, self.on_lane = on_row, on_lane

    def row(self, lane: str, seed: int, row: dict[str, Any], done_share: float) -> None:
        super().row(lane, seed, row, done_share)
        if self.on_row:
            self.on_row(row)

    def lane(self, lane: str, seed: int, status: str) -> None:
        super().lane(lane, seed, status)
        if self.on_lane:
            self.on_lane(lane, seed, status)
