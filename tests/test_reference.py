"""Promise 2: a lane is alone. The engine's lane equals the flat loop of examples/one_lane.py on the same lane.

Discrete fields are compared where the margin exceeds the numeric gap.
"""

from __future__ import annotations

import pytest
import torch

from examples.one_lane import reference
from fewfit.grid import Lane
from tests.models_made import tiny
from tests.streams_made import copy_of, examples, run_lanes, task_of
from tests.tokenizers_made import byte_level

DENSE = ("llama", "qwen3", "gemma2", "gemma3", "mistral", "phi3", "gpt2", "gpt-neox", "olmo2")
LANES = (
    Lane(),
    Lane(shots=3, deliver="per-query"),  # a chosen set has its own tests: test_delivery.py
    Lane(lr=3e-3, updates=5),
    Lane(shots=3, lr=3e-3, updates=5),
    Lane(shots=2, lr=1e-3, updates=3, loss="last-answer", optimizer="adafactor", replay="uniform"),
    Lane(shots=2, lr=1e-3, updates=3, tune="full"),
    Lane(shots=2, lr=1e-3, updates=2, tune="full", optimizer="adafactor", replay="newest"),
)
WORDS = len(byte_level())


def compare(model, task, lane, tolerance=1e-4):
    choices = task.renderer.settings.choices or ()
    expected, trained = reference(copy_of(model), task.renderer, task.examples, lane, choices=choices)
    got = run_lanes(model, task, [lane])
    assert [u["ids"] for u in got.updates] == [u["ids"] for u in trained]
    assert len(got.rows) == len(expected)
    for mine, theirs in zip(got.rows, expected, strict=True):
        assert (mine["i"], mine["id"], mine["demos"]) == (theirs["i"], theirs["id"], theirs["demos"])
        assert mine["tokens"] == theirs["tokens"]
        assert abs(mine["nll"] - theirs["nll"]) <= tolerance * max(1.0, theirs["nll"])
        if choices:
            best = max(theirs["logp"], key=theirs["logp"].get)
            if mine["margin"] > 1e-3:
                assert mine["prediction"] == best
        elif mine["margin"] > 1e-3:
            assert mine["correct"] == theirs["hit"]
    return got


@pytest.mark.parametrize("lane", LANES, ids=lambda lane: lane.name)
def test_lane_equals_the_reference_on_llama(lane):
    """Breaks seen to fail: warm-up over 11 updates; alpha = r; loss as a sum; clip at 2; demos of update 1 for all."""
    compare(tiny("llama", vocab_size=WORDS), task_of(examples(12)), lane)


@pytest.mark.parametrize("name", DENSE[1:])
def test_lane_equals_the_reference_on_every_architecture(name):
    for lane in (Lane(shots=2, lr=3e-3, updates=3), Lane(lr=1e-3, updates=2, tune="full")):
        compare(tiny(name, vocab_size=WORDS), task_of(examples(7)), lane)


def test_fifty_updates_in_fp64_at_a_high_rate():
    """On GPT-2, which is fp64 all through; the norms of the others are fp32 inside, whatever the model's type."""
    compare(
        tiny("gpt2", vocab_size=WORDS, dtype=torch.float64),
        task_of(examples(10)),
        Lane(shots=3, lr=1e-2, updates=5),
        tolerance=1e-5,
    )


def test_choices_equal_the_reference():
    """Choices of several tokens, which no single position tells apart. Break seen to fail: leaving out the end mark."""
    items = examples(10, labels=("river stone", "maple", "velvet copper"))
    got = compare(tiny("llama", vocab_size=WORDS), task_of(items, judge="choice"), Lane(shots=2, lr=3e-3, updates=2))
    expected, _ = reference(
        tiny("llama", vocab_size=WORDS),
        task_of(items, judge="choice").renderer,
        items,
        Lane(shots=2, lr=3e-3, updates=2),
        choices=task_of(items, judge="choice").renderer.settings.choices,
    )
    for mine, theirs in zip(got.rows, expected, strict=True):
        logp = torch.tensor(list(theirs["logp"].values()), dtype=torch.float64)
        wanted = dict(zip(theirs["logp"], torch.softmax(logp, 0).tolist(), strict=True))
        assert mine["probs"] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("updates", (1, 2, 5))
def test_the_papers_preset_is_algorithm_1(updates):
    """Full tuning, Adafactor, the newest example again and again with redrawn demonstrations, step by step.

    Break seen to fail: balanced replay in the preset.
    """
    from fewfit.grid import PAPER, Grid

    preset = {k: v for k, v in PAPER.items() if k not in ("lr", "updates")}
    grid = Grid.of(methods=("icl+ft",), shots=(3,), lr=(3e-4,), updates=(updates,), **preset)
    (lane,) = grid.lanes
    assert (lane.tune, lane.optimizer, lane.replay) == ("full", "adafactor", "newest")
    got = compare(tiny("llama", vocab_size=WORDS), task_of(examples(9)), lane)
    for row in got.updates:  # the target of every update of example i is example i
        assert row["ids"][-1] == got.rows[row["i"] - 1]["id"]


@pytest.mark.parametrize("loss", ("every-answer", "last-answer"))
def test_gradients_are_those_of_a_hand_made_sum_over_tokens(loss, monkeypatch):
    """Loss on every answer, or the last: token by token, each from a forward of its own prefix.

    Breaks seen to fail: a mean of means over answers; the end mark left out of the span.
    """
    from fewfit.engine.learner import Row, Track
    from fewfit.engine.task import loss_spans
    from tests.streams_made import plain_learner

    lane = Lane(shots=2, lr=1e-3, updates=1, tune="full", loss=loss)
    task = task_of(examples(6), judge="exact")
    model = tiny("llama", vocab_size=WORDS, dtype=torch.float64)
    rendered = task.render(0, 4, 1, 2, 4)
    by_hand = copy_of(model)
    by_hand.requires_grad_(True)
    tokenizer = byte_level()
    text = rendered.text
    answers = [e.completion for e in task.order(0) if e.id in rendered.demos] if loss == "every-answer" else []
    assert all(f" {answer}\n\n" in text for answer in answers)
    spans = rendered.spans if loss == "every-answer" else rendered.spans[-1:]
    carried = [t for start, end in spans for t in range(start, end)]
    said = [tokenizer.decode([rendered.ids[t] for t in range(start, end)]) for start, end in spans]
    assert all(piece.strip() in ("left", "right") and piece.endswith("\n\n") for piece in said)
    total = 0.0
    for t in carried:
        logits_V = by_hand(input_ids=torch.tensor([rendered.ids[:t]]), use_cache=False).logits[0, -1]
        total = total - torch.log_softmax(logits_V, -1)[rendered.ids[t]]
    (total / len(carried)).backward()
    learner = plain_learner(model, task)
    seen: dict[str, torch.Tensor] = {}
    try:
        track = Track(lane.name, 0)
        learner.open(track, lane)
        active = learner._activate(track)
        monkeypatch.setattr(
            active.trained,
            "step",
            lambda total: bool(seen.update({n: p.grad.clone() for n, p in active.trained.parameters.items()})),
        )
        learner.update([Row(track, rendered.ids, rendered.spans, loss_spans(lane, rendered))])
    finally:
        learner.close()
    for name, parameter in by_hand.named_parameters():
        gap = (seen[name] - parameter.grad).norm() / parameter.grad.norm()
        assert gap < 1e-5, name  # the norms of the model are fp32 inside
