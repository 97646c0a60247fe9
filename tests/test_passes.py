"""Passes: however steps are put together, every lane is what it would be alone."""

from __future__ import annotations

import pytest

from fewfit.grid import Lane
from tests.models_made import tiny
from tests.streams_made import examples, run_lanes, stacked_learner, task_of
from tests.tokenizers_made import byte_level

VOCABULARY = len(byte_level())
LANES = [
    Lane(),
    Lane(shots=2),
    Lane(shots=4),
    Lane(lr=1e-3, updates=1),
    Lane(lr=3e-3, updates=3),
    Lane(shots=2, lr=1e-3, updates=2),
    Lane(shots=4, lr=3e-3, updates=1, rank=4),
    Lane(shots=4, lr=1e-3, updates=2, optimizer="adafactor"),
]


@pytest.mark.slow
@pytest.mark.parametrize("judge", ("choice", "match"))
def test_all_lanes_at_once_equal_each_lane_alone(judge):
    """Bit for bit on one thread. Breaks seen to fail: padding to the longest row of the pass; skipping rows of
    another length while counting on."""
    model, task = tiny("llama", vocab_size=VOCABULARY), task_of(examples(14, uneven=True), judge=judge)
    learner = stacked_learner(model, task)
    together = run_lanes(model, task, LANES, learner=learner, width=8, tokens=1024)
    learner.close()
    for lane in LANES:
        assert sorted(row["i"] for row in together.of(lane)) == list(range(1, 15))
        learner = stacked_learner(model, task)
        alone = run_lanes(model, task, [lane], learner=learner, width=8, tokens=1024)
        learner.close()
        assert sorted(together.of(lane), key=lambda r: r["i"]) == sorted(alone.rows, key=lambda r: r["i"]), lane.name
        plain = run_lanes(model, task, [lane])
        for one, two in zip(
            sorted(alone.rows, key=lambda r: r["i"]), sorted(plain.rows, key=lambda r: r["i"]), strict=True
        ):
            assert one["nll"] == pytest.approx(two["nll"], rel=1e-4, abs=1e-4)
            assert one["demos"] == two["demos"]


def test_lanes_stay_near_each_other():
    """Where a pass holds fewer rows than there are lanes, those behind go first: races are decided at the slowest.

    Break seen to fail: taking lanes in the grid's order.
    """
    model, task = tiny("llama", vocab_size=VOCABULARY), task_of(examples(12))
    lanes = [Lane(lr=1e-3, updates=u) for u in (1, 2, 4)]
    learner = stacked_learner(model, task)
    ahead = []
    at = dict.fromkeys((lane.name for lane in lanes), 0)

    def watch(progress, row):
        if row is not None:
            at[row["lane"]] = row["i"]
            ahead.append(max(at.values()) - min(at.values()))

    run_lanes(model, task, lanes, learner=learner, width=2, tokens=1024, watch=watch)
    learner.close()
    assert max(ahead) <= 4
