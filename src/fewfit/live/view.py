"""What there is to show at the moment. The run only says that it begins and ends; all else is read from its files, when
a page asks."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewfit.live import page
from fewfit.live.standing import board_of, evidence_of
from fewfit.live.tracks import TrackReader, readers
from fewfit.report.evidence import Evidence
from fewfit.run import folders
from fewfit.run.board import Board
from fewfit.run.watch import RunInfo

AT_MOST_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Shown:
    """A page, and the name by which a browser asks whether it still holds."""

    html: bytes
    tag: str


class View:
    """A `Watch` of the run, on its thread; `shown` is asked by others."""

    def __init__(self) -> None:
        self._info: RunInfo | None = None
        self._phase, self._state = "", page.STARTING
        self._began: Board | None = None
        self._tracks: dict[tuple[str, int], TrackReader] = {}
        self._lock = threading.Lock()  # one at a time makes a page, and the others wait for that
        self._last: Shown | None = None
        self._version: Any = None
        self._looked = 0.0

    # ---- what the run says -------------------------------------------------------------------------------------------

    def begin(self, info: RunInfo) -> None:
        with self._lock:
            self._began, self._tracks = Board(info), readers(info)
            self._info, self._phase, self._state = info, "", page.RUNNING

    def phase(self, text: str) -> None:
        self._phase = text

    def row(self, lane: str, seed: int, row: dict[str, Any], done_share: float) -> None:
        """It will stand in the files; here it ends whatever came before the race."""
        self._phase = ""

    def lane(self, lane: str, seed: int, status: str) -> None:
        """So will that."""

    def end(self, result: dict[str, Any] | None) -> None:
        self._state = page.STOPPED if result is None else page.DONE

    # ---- what pages ask ----------------------------------------------------------------------------------------------

    def shown(self) -> Shown:
        with self._lock:
            now = time.monotonic()
            if self._last is None or now - self._looked >= AT_MOST_EVERY or self._state != self._version[0]:
                self._looked = now
                version = self._look()
                if version != self._version:
                    html = self._make(version[0]).encode()
                    self._last, self._version = Shown(html, f'"{sha256(html).hexdigest()[:32]}"'), version
            assert self._last is not None
            return self._last

    def _look(self) -> tuple[Any, ...]:
        """What the page depends on. The state comes first: by the time that it says done, the result is there."""
        return self._state, self._phase, *(track.version() for track in self._tracks.values())

    def _make(self, state: str) -> str:
        info, began = self._info, self._began
        if info is None or began is None:
            return page.starting(self._phase)
        if state == page.DONE:
            return page.done(finished(info.folder))
        for track in self._tracks.values():
            track.read()
        record = folders.record(info.folder)
        board = board_of(info, self._tracks)
        board.started, board.share_at_start = began.started, began.share_at_start
        so_far = evidence_of(info.folder, record, board, self._tracks)
        return page.running(page.Moment(so_far, board, board.left(), self._phase, state))


def finished(folder: Path) -> Evidence:
    return Evidence.of(folder, with_text=folders.shows_text(folders.record(folder)))
