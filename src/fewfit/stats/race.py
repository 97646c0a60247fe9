"""Who may leave early: a lane that is surely behind need not be run to its end.

The rule looks at what the choice will look at (the criterion's item scores over its own window), as known at example i:
a lane leaves when its deficit to the leader is more than 2.6 standard deviations of what the rest of the stream can
still bring. In simulation a lane that would have won by the same criterion leaves in at most 5 of 100 runs, and 10 to
30% of the work is saved. The leader and the best lane of every kind stay, since the verdict compares kinds. Who has
done its work before anybody could leave (`finished`: what only prompts on this machine) stays, too: nothing would be
saved, and evidence lost.

A field that a given budget does not hold is moreover halved at examples fixed beforehand: of the lanes still running,
the worse half by the same sum leaves. That carries no promise.

Decisions are made at each i from the rows up to i of the lanes still running, whatever faster lanes wrote beyond: so
they do not depend on how steps were put together, and a resumed run makes the same ones. Rows that a lane wrote after
its leave are discarded.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fewfit.grid import Lane
from fewfit.stats import Criterion, criterion_start, item_scores, likelihood_per_token

BEHIND = 2.6  # standard deviations; 2.3 would save 2 to 3 points more and drop up to 7% of winners near the ceiling
LEAST_ROWS = 5


def halving_places(n: int, criterion: Criterion) -> tuple[int, ...]:
    """After a quarter and a half of what the criterion looks at."""
    start = criterion_start(n, criterion)
    places = (start + (n - start) // 4, start + (n - start) // 2)
    return tuple(i for i in places if start + LEAST_ROWS <= i < n)


def share_run(n: int, halvings: Sequence[int]) -> float:
    """Of all lane-steps, about how many are made with these halvings."""
    ends = [*halvings, n]
    return sum((end - begin) / 2**k for k, (begin, end) in enumerate(zip([0, *halvings], ends, strict=True))) / n


class Race:
    """`tell` it every row; `leaving` says which lanes leave, each with the example at which that was decided."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        seeds: Sequence[int],
        n: int,
        metric: str,
        halvings: Sequence[int] = (),
        criterion: Criterion = "z23",
        finished: Collection[str] = (),
    ):
        self.lanes, self.n, self.metric, self.halvings = tuple(lanes), n, metric, frozenset(halvings)
        self.criterion: Criterion = criterion
        self._finished = frozenset(finished)
        self._lane = {lane.name: index for index, lane in enumerate(self.lanes)}
        self._seed = {seed: index for index, seed in enumerate(seeds)}
        shape = (len(self.lanes), len(self._seed), n)
        self._score_LSI, self._nll_LSI, self._tokens_LSI = (np.full(shape, np.nan) for _ in range(3))
        self._start = criterion_start(n, criterion)
        self._decided = self._start
        self.left: dict[str, int] = {}

    def tell(self, row: Mapping[str, Any]) -> None:
        at = self._lane[row["lane"]], self._seed[row["seed"]], row["i"] - 1
        self._score_LSI[at] = np.nan if row["score"] is None else row["score"]
        self._nll_LSI[at], self._tokens_LSI[at] = likelihood(row, self.metric)

    def leaving(self, out: Mapping[str, int] | None = None) -> dict[str, int]:
        """Lanes that leave now. `out`: lanes that stopped for other reasons (diverged), and the rows that they have."""
        new: dict[str, int] = {}
        ended = out or {}
        while self._decided + 1 < self.n:
            i = self._decided + 1
            alive = [
                k
                for k, lane in enumerate(self.lanes)
                if lane.name not in self.left and ended.get(lane.name, self.n) >= i
            ]
            if not alive or np.isnan(self._score_LSI[alive, :, i - 1]).any():
                break  # some lane is not there yet
            for k in self._decide(alive, i):
                name = self.lanes[k].name
                self.left[name] = new[name] = i
            self._decided = i
        return new

    def _decide(self, alive: list[int], i: int) -> list[int]:
        window = slice(self._start, i)
        rows = (i - self._start) * len(self._seed)
        if rows < LEAST_ROWS or len(alive) < 2:
            return []
        score_LR = self._score_LSI[alive, :, window].reshape(len(alive), -1)
        answer_LR = self._nll_LSI[alive, :, window].reshape(len(alive), -1)
        tokens_LR = self._tokens_LSI[alive, :, window].reshape(len(alive), -1)
        nll_LR = None if np.isnan(answer_LR).any() else likelihood_per_token(answer_LR, tokens_LR)
        x_LR = item_scores(score_LR, nll_LR, self.criterion)
        total_L = x_LR.sum(axis=1)
        leader = int(np.argmax(total_L))
        stays = {leader}
        for kind in {self.lanes[k].kind for k in alive}:
            members = [a for a, k in enumerate(alive) if self.lanes[k].kind == kind]
            stays.add(max(members, key=lambda a: total_L[a]))
        running = [a for a in np.argsort(-total_L, kind="stable") if self.lanes[alive[a]].name not in self._finished]
        worse = set(running[-(-len(running) // 2) :]) if i in self.halvings else set()
        spread = 2.0 * float(x_LR.var())
        left = (self.n - i) * len(self._seed)
        behind = []
        for a, k in enumerate(alive):
            if a in stays or self.lanes[k].name in self._finished:
                continue
            if a in worse:
                behind.append(k)
                continue
            d_R = x_LR[leader] - x_LR[a]
            deficit = float(d_R.sum())
            variance = (float((d_R**2).sum()) + 2 * spread) / (rows + 2) - (deficit / (rows + 2)) ** 2
            if deficit > BEHIND * math.sqrt(max(variance, 0.0) * left):
                behind.append(k)
        return behind


def likelihood(row: Mapping[str, Any], metric: str) -> tuple[float, float]:
    """Nats and tokens as the criterion reads them: for choices, of the right one among all."""
    if metric == "choice" and row["probs"]:
        share = row["probs"].get(row["gold"], 0.0)
        return (-math.log(share) if share > 0 else math.inf), 1.0
    return (np.nan if row["nll"] is None else row["nll"]), row["tokens"] or 1.0
