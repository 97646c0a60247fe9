"""The live table on a terminal, plain lines elsewhere, nothing with --quiet. All of it on stderr.

with table(quiet=False) as watch:
    fewfit.fit(…, watch=watch)
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from fewfit.report.numbers import clock, points, time_left
from fewfit.run.board import Board, earlier_scores, spark
from fewfit.run.watch import RunInfo, Watch

MOST_ROWS = 20
BETWEEN_LINES = 5.0  # seconds; long runs speak more rarely
COLORS = {"running": "cyan", "done": "green", "dropped": "dim", "diverged": "red", "waiting": "dim"}


@contextmanager
def table(*, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Watch | None]:
    """The watch that suits the place, and the terminal as it was afterwards, whatever happens in between."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        yield None
        return
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    watch = LiveTable(stream) if terminal else Lines(stream)
    try:
        yield watch
    finally:
        watch.close()


class Lines:
    """A line every few seconds: for logs and pipes."""

    def __init__(self, stream: TextIO):
        self.stream, self.board = stream, None  # type: TextIO, Board | None
        self._last = time.monotonic()

    def begin(self, info: RunInfo) -> None:
        self.board = Board(info, earlier_scores(info))
        self._last = time.monotonic()
        for notice in dict.fromkeys(info.notices):
            self.say(f"note: {notice}")
        for text in headings(info):
            self.say(text)

    def phase(self, text: str) -> None:
        self.say(text)

    def row(self, lane: str, seed: int, row: dict[str, Any], done_share: float) -> None:
        assert self.board is not None
        self.board.row(lane, seed, row, done_share)
        now = time.monotonic()
        if now - self._last >= max(BETWEEN_LINES, 0.02 * self.board.gone()):
            self._last = now
            self.say(progress_line(self.board))

    def lane(self, lane: str, seed: int, status: str) -> None:
        assert self.board is not None
        self.board.ended(lane, seed, status)
        if status != "done":
            self.say(f"{lane} {status} (seed {seed})")

    def end(self, result: dict[str, Any] | None) -> None:
        if self.board is not None and result is not None:
            self.say(f"done in {clock(result['seconds'])}")

    def close(self) -> None:
        pass

    def say(self, text: str) -> None:
        with suppress(BrokenPipeError, ValueError):  # nobody listens: no reason to stop
            self.stream.write(f"fewfit: {text}\n")
            self.stream.flush()


def progress_line(board: Board) -> str:
    best = board.best()
    ended = sum(board.status(name) not in ("running", "waiting") for name in board.lanes)
    parts = [f"{100 * board.share():.0f}%", f"{clock(board.gone())} gone", time_left(board.left())]
    parts.append(f"{ended} of {len(board.lanes)} lanes ended")
    if best is not None:
        parts.append(f"best so far {best} {points(board.lanes[best].mean)}")
    return " · ".join(parts)


def headings(info: RunInfo) -> list[str]:
    seeds = "" if len(info.seeds) == 1 else f", {len(info.seeds)} seeds"
    majority = "" if info.majority is None else f", most frequent answer {points(info.majority)}"
    what = "questions" if info.documents else "examples"
    return [
        f"{info.data}: {info.n} {what} on {', '.join(info.models)}, {len(info.lanes)} lanes{seeds}, "
        f"scored by {info.metric}{majority}",
        f"the run is written to {info.folder}",
    ]


class LiveTable:
    """rich's Live on the terminal, drawn again twice a second; what others print on stderr goes above it."""

    def __init__(self, stream: TextIO):
        from rich.console import Console

        self.console = Console(file=stream, highlight=False)
        self.board: Board | None = None
        self._live: Any = None
        self._phase = ""
        self._lock = threading.Lock()  # the drawing is a thread of its own

    def begin(self, info: RunInfo) -> None:
        from rich.live import Live

        self.board = Board(info, earlier_scores(info))
        self._phase = ""
        for notice in dict.fromkeys(info.notices):
            self.console.print(f"note: {notice}", style="dim", markup=False)
        for text in headings(info):
            self.console.print(text, markup=False)
        self._live = Live(
            console=self.console, get_renderable=self.draw, refresh_per_second=2, transient=True, redirect_stdout=False
        )
        self._live.start()

    def phase(self, text: str) -> None:
        with self._lock:
            self._phase = text
        if self._live is None:
            self.console.print(text, style="dim", markup=False)

    def row(self, lane: str, seed: int, row: dict[str, Any], done_share: float) -> None:
        assert self.board is not None
        with self._lock:
            self.board.row(lane, seed, row, done_share)

    def lane(self, lane: str, seed: int, status: str) -> None:
        assert self.board is not None
        with self._lock:
            self.board.ended(lane, seed, status)

    def end(self, result: dict[str, Any] | None) -> None:
        """What stays on the screen of a stopped run is how far it was; a finished one has its final table."""
        stopped = result is None and self._live is not None
        self.close()
        if stopped:
            self.console.print(self.draw())

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def draw(self) -> Any:
        with self._lock:
            return drawn(self.board, self._phase, height=self.console.height) if self.board is not None else ""


def drawn(board: Board, phase: str = "", *, height: int = 40) -> Any:
    """Rows are lanes, grouped by kind; 80 columns are enough."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    grid.add_column("kind", no_wrap=True, min_width=9)
    grid.add_column("lane", no_wrap=True, overflow="ellipsis")
    grid.add_column("score", justify="right", no_wrap=True, min_width=5)
    grid.add_column("so far", no_wrap=True, min_width=12)
    grid.add_column("rows", justify="right", no_wrap=True, min_width=7)
    grid.add_column("state", no_wrap=True, min_width=8)
    best = board.best()
    for kind, names, left_out in board.shown(max(4, min(MOST_ROWS, height - 6))):
        for place, name in enumerate(names):
            state, status = board.lanes[name], board.status(name)
            grid.add_row(
                kind if place == 0 else "",
                Text(name, style="bold" if name == best else ""),
                Text(points(state.mean), style="bold" if name == best else ""),
                spark(state.means),
                f"{state.done}/{state.rows}",
                Text(status, style=COLORS[status]),
            )
        if left_out:
            grid.add_row("", Text(f"and {left_out} more", style="dim"))
    parts = [f"{100 * board.share():.0f}% done", f"{clock(board.gone())} gone", time_left(board.left())]
    if phase:
        parts.append(phase)
    return Group(grid, Text(" · ".join(parts), style="dim"))
