"""What is known of a run while it goes on, kept in numbers: the tables show it, none of them counts anything."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import Any

from fewfit.grid import KINDS, Lane
from fewfit.run.watch import RunInfo

BLOCKS = "▁▂▃▄▅▆▇█"
WORST = ("done", "dropped", "diverged")


@dataclass
class LaneState:
    """One lane over all its seeds."""

    lane: Lane
    rows: int  # that there will be
    done: int = 0  # rows predicted, those of an earlier session included
    total: float = 0.0  # sum of scores
    counted: int = 0  # rows in that sum
    means: list[float] = field(default_factory=list)
    shares: dict[int, float] = field(default_factory=dict)  # by seed: how much of its steps is made
    ended: dict[int, str] = field(default_factory=dict)  # by seed

    @property
    def mean(self) -> float | None:
        return self.total / self.counted if self.counted else None

    @property
    def rank(self) -> float:
        return -1.0 if self.mean is None else self.mean

    def add(self, score: float | None) -> None:
        """None or NaN where the metric judges later."""
        if score is None or math.isnan(score):
            return
        self.total += score
        self.counted += 1
        self.means.append(self.total / self.counted)


class Board:
    """The lanes of a run and how far each is."""

    def __init__(self, info: RunInfo, earlier: dict[str, list[float | None]] | None = None):
        self.info = info
        self.lanes = {lane.name: LaneState(lane, info.n * len(info.seeds)) for lane in info.lanes}
        self.costs = lane_costs(info)
        for (name, seed), rows in info.done.items():
            state = self.lanes[name]
            state.done += rows
            state.shares[seed] = rows / max(info.n, 1)
        for name, scores in (earlier or {}).items():
            for score in scores:
                self.lanes[name].add(score)
        for (name, seed), status in earlier_statuses(info).items():
            self.ended(name, seed, status)
        self.started = time.monotonic()
        self.share_at_start = self.share()

    def row(self, name: str, seed: int, row: dict[str, Any], done_share: float) -> None:
        state = self.lanes[name]
        state.done += 1
        state.add(row["score"])
        state.shares[seed] = done_share

    def ended(self, name: str, seed: int, status: str) -> None:
        self.lanes[name].ended[seed] = status
        self.lanes[name].shares[seed] = 1.0  # a lane that left early costs nothing more

    def status(self, name: str) -> str:
        state = self.lanes[name]
        if len(state.ended) == len(self.info.seeds):
            return max(state.ended.values(), key=WORST.index)
        return "running" if state.shares else "waiting"

    # ---- time ------------------------------------------------------------------------------------------------------

    def share(self) -> float:
        """How much of all work is done, each lane weighed by what its steps cost."""
        whole = sum(self.costs.values()) * len(self.info.seeds)
        done = sum(self.costs[name] * sum(state.shares.values()) for name, state in self.lanes.items())
        return min(1.0, done / whole) if whole else 1.0

    def gone(self) -> float:
        return time.monotonic() - self.started

    def left(self) -> float | None:
        """Seconds still to go, at the pace so far; None while that says nothing yet."""
        share, gone = self.share(), self.gone()
        made = share - self.share_at_start
        if made <= 0.005 or gone < 1.0:
            return None
        return gone * (1.0 - share) / made

    # ---- what is shown ---------------------------------------------------------------------------------------------

    def best(self, kind: str | None = None) -> str | None:
        """The best mean so far, of one kind or of all, among lanes that are still in the race and have seen a fair part
        of the stream; early means say little."""
        most = max((state.counted for state in self.lanes.values()), default=0)
        known = [
            (state.rank, name)
            for name, state in self.lanes.items()
            if kind in (None, state.lane.kind)
            and state.mean is not None
            and state.counted >= max(1, most // 3)
            and self.status(name) not in ("dropped", "diverged")
        ]
        return max(known, key=lambda one: one[0])[1] if known else None

    def shown(self, most: int) -> list[tuple[str, list[str], int]]:
        """By kind: the lanes to show and how many are left out. Of too many, the best few of every kind."""
        groups = [(kind, [n for n, s in self.lanes.items() if s.lane.kind == kind]) for kind in KINDS]
        groups = [(kind, names) for kind, names in groups if names]
        if len(self.lanes) <= most:
            return [(kind, names, 0) for kind, names in groups]
        out: list[tuple[str, list[str], int]] = []
        for kind, names in groups:
            few = max(1, (most - len(groups)) // len(groups))
            best = sorted(names, key=lambda name: -self.lanes[name].rank)
            out.append((kind, best[:few], max(0, len(names) - few)))
        return out


def lane_costs(info: RunInfo) -> dict[str, float]:
    """What each lane's steps cost under one seed: as timed before the run, else by the tokens in them."""
    try:
        timed = json.loads((info.folder / "run.json").read_text(encoding="utf-8")).get("estimated_seconds") or {}
    except (OSError, ValueError):
        timed = {}
    if all(timed.get(lane.name) for lane in info.lanes):
        return {lane.name: float(timed[lane.name]) for lane in info.lanes}
    dear = {False: 1.0, True: 3.0}  # a step that trains goes back through the model, too
    return {
        lane.name: info.totals.get(lane.name, info.n) * (1.0 + lane.shots) * dear[lane.trains] for lane in info.lanes
    }


def earlier_scores(info: RunInfo) -> dict[str, list[float | None]]:
    """The scores of an earlier session, in the order of the stream."""
    if not info.done:
        return {}
    from fewfit.errors import FewfitError
    from fewfit.predictions import read

    out: dict[str, list[float | None]] = {}
    try:
        for row in read(info.folder):
            if row["lane"] in {lane.name for lane in info.lanes}:
                out.setdefault(row["lane"], []).append(row["score"])
    except (FewfitError, OSError, ValueError, KeyError):
        return {}  # it is only for show
    return out


def earlier_statuses(info: RunInfo) -> dict[tuple[str, int], str]:
    """What ended in an earlier session: nobody tells it again."""
    if not info.done:
        return {}
    from fewfit.engine.learner import Track
    from fewfit.predictions import LANES
    from fewfit.run.snapshots import STATE, track_name

    out = {}
    for name, seed in info.done:
        try:
            text = (info.folder / LANES / track_name(Track(name, seed)) / STATE).read_text(encoding="utf-8")
            status = json.loads(text)["status"]
        except (OSError, ValueError, KeyError):
            continue
        if status in WORST:
            out[name, seed] = status
    return out


def spark(means: list[float], width: int = 12) -> str:
    """The running mean as blocks from 0 to 1, the same scale for all lanes."""
    if not means:
        return ""
    count = min(width, len(means))
    picked = [means[(k + 1) * len(means) // count - 1] for k in range(count)]
    return "".join(BLOCKS[min(len(BLOCKS) - 1, max(0, int(value * len(BLOCKS))))] for value in picked)
