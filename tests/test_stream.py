"""The loop: which steps are made, in which order, and what happens to a lane that breaks."""

from __future__ import annotations

import math

import pytest
import torch

from fewfit.engine.learner import Track
from fewfit.engine.stream import Progress, Step, Stream, steps
from fewfit.grid import Lane
from tests.models_made import tiny
from tests.streams_made import Memory, examples, plain_learner, run_lanes, stacked_learner, task_of
from tests.tokenizers_made import byte_level

VOCABULARY = len(byte_level())


def test_update_1_shares_the_forward_of_the_prediction():
    assert list(steps(Lane(lr=1e-3, updates=2), 2)) == [
        Step(1, 1, True), Step(1, 2, False), Step(2, 1, True), Step(2, 2, False),
    ]  # fmt: skip
    assert list(steps(Lane(shots=4), 2)) == [Step(1, 0, True), Step(2, 0, True)]


def test_a_block_is_predicted_before_any_of_it_trains():
    plan = list(steps(Lane(lr=1e-3, updates=1, block=2), 3))
    assert [(s.i, s.predicts) for s in plan] == [(1, True), (2, True), (1, False), (2, False), (3, True), (3, False)]


def test_a_lane_of_other_shots_at_use_trains_apart_from_its_prediction():
    lane = Lane(shots=3, lr=1e-3, updates=1, use_shots=1)
    sink = run_lanes(tiny("llama", vocab_size=VOCABULARY), task_of(examples(6)), [lane])
    assert [row["shots"] for row in sink.rows] == [0, 1, 1, 1, 1, 1]
    assert [len(update["ids"]) for update in sink.updates] == [1, 2, 3, 4, 4, 4]


def test_the_fused_forward_trains_as_a_forward_of_its_own_would():
    """In fp64: torch may round a forward without a graph otherwise. Break seen to fail: keeping the graph of the row
    before."""
    model, task = tiny("llama", vocab_size=VOCABULARY, dtype=torch.float64), task_of(examples(8))
    fused = Lane(shots=2, lr=3e-3, updates=2)
    apart = Lane(shots=2, lr=3e-3, updates=2, block=1, use_shots=2)
    plan = [s for i in range(1, 9) for s in (Step(i, 0, True), Step(i, 1, False), Step(i, 2, False))]
    one = run_lanes(model, task, [fused]).rows
    sink = Memory()
    learner = plain_learner(model, task)
    Stream(task, learner, sink).run([Progress(Track("x", 0), apart, plan)])
    learner.close()
    assert [row["nll"] for row in one] == pytest.approx([row["nll"] for row in sink.rows], rel=1e-9)


def test_a_lane_that_diverges_is_frozen_and_the_others_do_not_notice():
    """Break seen to fail: stepping without the finiteness check."""
    model, task = tiny("llama", vocab_size=VOCABULARY), task_of(examples(10))
    good, bad = Lane(lr=1e-3, updates=2), Lane(lr=1e30, updates=2)
    alone = run_lanes(model, task, [good])
    sink = Memory()
    learner = plain_learner(model, task)
    tracks = [Progress(Track(lane.name, 0), lane, list(steps(lane, 10))) for lane in (bad, good)]
    Stream(task, learner, sink).run(tracks)
    learner.close()
    assert [p.status for p in tracks] == ["diverged", "done"]
    assert sink.of(good) == alone.of(good)
    assert 0 < len(sink.of(bad)) < 10
    assert all(math.isfinite(row["nll"]) for row in sink.rows)


@pytest.mark.parametrize("lane", (Lane(lr=1e-3, updates=1), Lane(shots=1, lr=1e-3, updates=1, tune="full")))
def test_a_model_comes_back_unchanged(lane):
    """Also after an exception. Break seen to fail: `close` without giving the base weights back."""
    model, task = tiny("gpt2", vocab_size=VOCABULARY), task_of(examples(5))
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = [name for name, _ in model.named_modules()]
    grads = [p.requires_grad for p in model.parameters()]

    class Boom(Exception):
        pass

    def fail(progress, row):
        if row is not None and row["i"] == 3:
            raise Boom

    with pytest.raises(Boom):
        run_lanes(model, task, [lane], watch=fail)
    run_lanes(model, task, [lane])
    assert model.training
    assert [name for name, _ in model.named_modules()] == modules
    assert [p.requires_grad for p in model.parameters()] == grads
    assert not hasattr(model, "peft_config")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_misses_are_generated_and_hits_are_not():
    """`match`: what is generated is the greedy text; `exact`: the arg-max text up to the first wrong token, marked."""
    model = tiny("llama", vocab_size=VOCABULARY)
    lane = Lane(lr=3e-3, updates=5)
    generated: list[int] = []
    items = examples(30)
    for judge in ("match", "exact"):
        task = task_of(items, judge=judge)
        learner = plain_learner(model, task)
        inner = learner.generate
        learner.generate = lambda rows, *how, inner=inner: generated.append(len(rows)) or inner(rows, *how)
        sink = run_lanes(model, task, [lane], learner=learner)
        learner.close()
        hits = [row for row in sink.rows if row["correct"]]
        misses = [row for row in sink.rows if not row["correct"]]
        assert hits and misses
        assert all(row["prediction"] == row["gold"] for row in hits)
        assert all(row["cut"] == (judge == "exact") for row in misses)
        if judge == "match":
            assert sum(generated) == len(misses)
    assert sum(generated) == len(misses)  # `exact` generated nothing


def test_rows_of_one_length_only_share_a_pass():
    """Break seen to fail: longer rows let into a pass."""
    model = tiny("llama", vocab_size=VOCABULARY)
    task = task_of(examples(14, labels=("to the left", "right"), uneven=True), judge="choice")
    learner = stacked_learner(model, task)
    lanes = [Lane(lr=1e-3, updates=3), Lane(shots=3, lr=1e-3, updates=3), Lane(lr=1e-3, updates=1)]
    passes = []

    def watched(call):
        def inner(rows, **how):
            passes.append([-(-len(row.ids) // 16) for row in rows])
            return call(rows, **how)

        return inner

    learner.score = watched(learner.score)
    learner.update = watched(learner.update)
    run_lanes(model, task, lanes, learner=learner, width=8, tokens=2048)
    learner.close()
    assert all(len(set(lengths)) == 1 for lengths in passes)
    assert any(len(lengths) > 1 for lengths in passes)


def test_a_prompting_lane_that_diverges_counts_for_no_example():
    """It goes by length, so the rows that it has are not the first ones: the race would wait for the others for ever.

    Break seen to fail: as many examples as it has rows, as for lanes that train.
    """
    asked = []

    class Race:
        left: dict[str, int] = {}

        def leaving(self, out):
            asked.append(dict(out))
            return {}

    items = examples(6)
    task = task_of(items)
    tracks = [
        Progress(Track(lane.name, 0), lane, list(steps(lane, 6))) for lane in (Lane(shots=2), Lane(lr=1e-3, updates=1))
    ]
    for progress in tracks:
        progress.status, progress.predicted = "diverged", 4
    stream = Stream(task, plain_learner(tiny("llama", vocab_size=VOCABULARY), task), Memory(), race=Race())
    stream._drop(stream.race, tracks)
    assert asked == [{tracks[0].track.lane: 0, tracks[1].track.lane: 4}]
