"""The learning rate of one update: the same for every engine and for the reference's readers to compare."""

from __future__ import annotations

import math

from fewfit.grid import Lane

WARMUP = 10  # updates; ours, the paper names no schedule


def rate(lane: Lane, step: int, total: int) -> float:
    """Rate of update `step` (from 1) of `total`: linear warm-up, then the lane's schedule."""
    warm = min(1.0, step / WARMUP)
    if lane.schedule == "constant":
        shape = 1.0
    else:
        done = min(1.0, max(0, step - WARMUP) / max(1, total - WARMUP))
        shape = 1.0 - done if lane.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return lane.lr * warm * shape
