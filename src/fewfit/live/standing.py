"""How a run stands: the live board, filled from the files, and what it says in words.

Nothing is computed here that the run does not compute for itself: the board's means and its share of the work, and of
the race who has left it. A race may be looked at as often as one likes, which the intervals of the end may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewfit.grid import KINDS
from fewfit.live.tracks import TrackReader
from fewfit.report.evidence import Evidence
from fewfit.report.numbers import points
from fewfit.run import folders
from fewfit.run.board import Board
from fewfit.run.watch import RunInfo
from fewfit.select.verdict import SPOKEN


def board_of(info: RunInfo, tracks: Mapping[tuple[str, int], TrackReader]) -> Board:
    board = Board(replace(info, done={}))
    for (name, seed), track in tracks.items():
        if track.status == "waiting":
            continue
        share = track.done / max(info.totals.get(name, info.n), 1)
        board.lanes[name].shares[seed] = share
        for row in track.rows:
            board.row(name, seed, row, share)
        if track.status != "running":
            board.ended(name, seed, track.status)
    return board


def evidence_of(
    folder: Path, record: dict[str, Any], board: Board, tracks: Mapping[tuple[str, int], TrackReader]
) -> Evidence:
    """As the sections of the report take it: the lanes so far, and no examples."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for (name, _), track in tracks.items():
        rows.setdefault(name, []).extend(row for row in track.rows if row["score"] is not None)
    lanes = [
        {"name": name, "kind": state.lane.kind, "model": state.lane.model, "n": len({row["i"] for row in rows[name]}),
         "status": board.status(name)}
        for name, state in board.lanes.items()
    ]  # fmt: skip
    leading = {kind: best for kind in KINDS if (best := board.best(kind)) is not None}
    result = {"lanes": lanes, "best": board.best(), "best_of_kind": leading, "majority": board.info.majority}
    return Evidence(folder, record, result, rows, {}, with_text=folders.shows_text(record), tokenizers={})


def so_far(board: Board, record: dict[str, Any]) -> str:
    """Who leads, and how surely."""
    name = board.best()
    if name is None:
        if not any(state.done for state in board.lanes.values()):
            return "No lane has predicted anything yet."
        if any(state.counted for state in board.lanes.values()):
            return "No lane leads yet: those that answered have diverged, or are far behind the others."
        return "Answers come in; their scores come at the end, when all of them are judged."
    state, what = board.lanes[name], "questions" if board.info.documents else "examples"
    orders = f" in {len(board.info.seeds)} orders" if len(board.info.seeds) > 1 else ""
    if len(board.lanes) == 1:
        return f"{name} scores {points(state.mean)} of 100 so far, over {state.counted} of {state.rows} {what}{orders}."
    return (
        f"Leading so far: {SPOKEN[state.lane.kind]} ({name}), with {points(state.mean)} of 100 over "
        f"{state.counted} of {state.rows} {what}{orders}. {how_surely(board, record)}"
    )


def how_surely(board: Board, record: dict[str, Any]) -> str:
    statuses = [board.status(name) for name in board.lanes]
    dropped, diverged = statuses.count("dropped"), statuses.count("diverged")
    left = len(statuses) - dropped - diverged
    broken = f" {counted(diverged)} diverged." if diverged else ""
    if not record.get("race"):
        return f"All lanes run to the end, which will say how sure that is.{broken}"
    if not dropped:
        return f"No lane is surely behind yet: nothing is settled.{broken}"
    reason = "behind" if record.get("halvings") else "surely behind"
    others = "between the others nothing is settled before the end." if left > 1 else "it alone is left."
    return f"{counted(dropped)} of {len(statuses)} lanes dropped out, {reason}; {others}{broken}"


def counted(lanes: int) -> str:
    return "One" if lanes == 1 else str(lanes)


def announcement(board: Board) -> str:
    """What is worth being told to those who listen: it changes seldom."""
    name = board.best()
    dropped = sum(board.status(one) == "dropped" for one in board.lanes)
    return "" if name is None else f"{name} leads so far; {dropped} of {len(board.lanes)} lanes dropped out."
