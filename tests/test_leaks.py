"""Promise 1: no leak. With power: each lane that is at chance here exceeds .9 where there is something to learn."""

from __future__ import annotations

import math

import pytest

from fewfit import draw
from fewfit.audit import audit
from fewfit.examples.example import Example
from fewfit.grid import Lane
from tests.models_made import tiny
from tests.streams_made import WORDS, examples, run_lanes, task_of
from tests.tokenizers_made import byte_level

VOCABULARY = len(byte_level())
TUNING = (
    Lane(lr=3e-3, updates=5),
    Lane(shots=2, lr=3e-3, updates=5),
    Lane(shots=2, lr=3e-3, updates=5, tune="full"),
)


@pytest.mark.slow
@pytest.mark.parametrize("lane", TUNING, ids=lambda lane: lane.name)
def test_labels_that_carry_nothing_are_at_chance_and_a_learnable_twin_is_learnt(lane):
    """Break seen to fail: training on example i before predicting it (.98 on the coin)."""
    n = 150
    late = {}
    for carries in (True, False):
        rows = run_lanes(
            tiny("llama", vocab_size=VOCABULARY), task_of(examples(n, carries=carries), judge="choice"), [lane]
        )
        scores = [row["score"] for row in rows.rows]
        late[carries] = sum(scores[2 * n // 3 :]) / (n - 2 * n // 3)
        if not carries:
            # two-sided binomial bound at 4 standard errors
            assert abs(sum(scores) / n - 0.5) < 4 * math.sqrt(0.25 / n)
    assert late[True] > 0.9
    assert late[False] < 0.8


def test_unique_random_answers_are_never_predicted():
    """Break seen to fail: the target as its own demonstration."""
    items = [
        Example(str(k), f"{WORDS[k % len(WORDS)]} {k}", f"{draw.number('secret', k) % 10**9:09d}") for k in range(1, 31)
    ]
    lanes = [Lane(shots=2), Lane(lr=3e-3, updates=4), Lane(shots=2, lr=3e-3, updates=4)]
    rows = run_lanes(tiny("llama", vocab_size=VOCABULARY), task_of(items), lanes).rows
    assert len(rows) == 90
    assert not any(row["correct"] for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("judge", ("choice", "exact"))
def test_changing_an_answer_changes_nothing_before_it(judge):
    """Rows i < j are byte-equal, and the choice probabilities of row j too.

    Break seen to fail: choosing demonstrations by their completion.
    """
    items = examples(14)
    order = [e.id for e in draw.order(items, 0)]
    j = 9
    other = {"left": "right", "right": "left"}
    changed = [Example(e.id, e.prompt, other[e.completion] if e.id == order[j - 1] else e.completion) for e in items]
    lanes = [Lane(shots=3), Lane(shots=2, lr=3e-3, updates=3), Lane(lr=3e-3, updates=3)]
    before, after = (
        run_lanes(tiny("llama", vocab_size=VOCABULARY), task_of(some, judge=judge), lanes) for some in (items, changed)
    )
    for one, two in zip(before.rows, after.rows, strict=True):
        if one["i"] < j:
            assert one == two
        elif one["i"] == j:
            assert one["gold"] != two["gold"]
            assert one["probs"] == two["probs"]
    late = [(one["nll"], two["nll"]) for one, two in zip(before.rows, after.rows, strict=True) if one["i"] > j]
    assert all(one != two for one, two in late[-3:])  # the change does reach what comes after


def test_no_row_trains_before_its_prediction_is_written():
    """Break seen to fail: `update` before `_write` in the stream."""
    lanes = [Lane(shots=2, lr=1e-3, updates=3), Lane(lr=1e-3, updates=2, block=3), Lane(lr=1e-3, updates=2, batch=2)]
    sink = run_lanes(tiny("llama", vocab_size=VOCABULARY), task_of(examples(8)), lanes)
    order = [e.id for e in draw.order(examples(8), 0)]
    written: dict[str, set[str]] = {}
    trained = {(u["lane"], u["i"], u["update"]): u["ids"] for u in sink.updates}
    for what, track, i, update in sink.log:
        seen = written.setdefault(track.lane, set())
        if what == "predicted":
            seen.add(order[i - 1])
        else:
            assert set(trained[track.lane, i, update]) <= seen


@pytest.mark.slow
def test_the_recorded_demonstrations_pass_the_audit():
    """Groups and equal prompts among the examples. Break seen to fail: `conflicts_with` that forgets groups."""
    items = [
        Example(e.id, e.prompt if k % 5 else "the same prompt", e.completion, group=f"g{k % 4}" if k % 2 else None)
        for k, e in enumerate(examples(24))
    ]
    task = task_of(items)
    lanes = [Lane(shots=4), Lane(shots=3, lr=1e-3, updates=3), Lane(shots=2, lr=1e-3, updates=2, batch=2)]
    sink = run_lanes(tiny("llama", vocab_size=VOCABULARY), task, lanes, seeds=(0, 1))
    assert audit(items, sink.rows, sink.updates, batch={lanes[2].name: 2}) == []
    assert any(len(row["demos"]) < 4 for row in sink.of(lanes[0]) if row["i"] > 4) or len(items) > 8
