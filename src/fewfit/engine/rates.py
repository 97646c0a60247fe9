"""The learning rate of one update: the same for every engine and for the reference's readers to compare."""

from __future__ import annotations

import math

from fewfit.grid import Lane

WARMUP = 10  # updates; ours, the paper names no schedule
SHARE = 0.03  # of a run whose rate falls, at the most: ten updates may be all that it has


def rate(lane: Lane, step: int, total: int) -> float:
    """Rate of update `step` (from 1) of `total`: linear warm-up, then the lane's schedule, 0 after the last one."""
    if lane.schedule == "constant":
        return lane.lr * min(1.0, step / WARMUP)
    warmup = min(WARMUP, math.ceil(SHARE * total))
    if step <= warmup:
        return lane.lr * step / warmup
    done = min(1.0, (step - warmup) / (total - warmup + 1))
    return lane.lr * (1.0 - done if lane.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))
