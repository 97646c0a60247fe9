"""What trains in a lane: by stock optimizers, clipped, frozen where its gradients are not finite."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fewfit.engine.optim import Trained
from fewfit.engine.rates import rate
from fewfit.grid import Lane
from tests.stack_rows import lane


def made(one: Lane) -> Trained:
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (4, 16), "b": (12, 4), "c": (7,)}
    return Trained(one, [(n, nn.Parameter(torch.randn(s, generator=generator))) for n, s in shapes.items()])


def give(trained: Trained, size: float, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in trained.parameters.values():
        parameter.grad = size * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"optimizer": "adafactor", "weight_decay": 0.1}])
def test_a_lane_that_goes_on_from_its_record_makes_the_same_steps(settings: dict) -> None:
    """Break seen to fail: the moments left out of the record."""
    first, second = made(lane(**settings)), made(lane(**settings))
    for step in range(3):
        give(first, 1.0, step)
        assert first.step(10)
    second.load(copy.deepcopy(first.state()))
    for step in range(3, 6):
        for one in (first, second):
            give(one, 1.0, step)
            assert one.step(10)
    assert first.steps == second.steps == 6
    states = first.state().tensors, second.state().tensors
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_freezes_the_lane_at_its_last_good_weights(bad: float) -> None:
    """Break seen to fail: updated all the same."""
    trained = made(lane())
    before = {name: parameter.detach().clone() for name, parameter in trained.parameters.items()}
    give(trained, 1.0)
    next(iter(trained.parameters.values())).grad[0, 0] = bad  # type: ignore[index]
    assert not trained.step(10)
    give(trained, 1.0)
    assert not trained.step(10) and trained.diverged and trained.steps == 0
    assert all(torch.equal(parameter, before[name]) for name, parameter in trained.parameters.items())


def test_gradients_are_clipped_together_to_norm_1() -> None:
    """Adam hides the size of a gradient, its first moment does not: a tenth of what came in. Break seen to fail:
    clipping at 2."""
    for size in (0.001, 30.0):
        trained = made(lane())
        give(trained, size)
        norm = torch.cat([p.grad.flatten() for p in trained.parameters.values()]).norm()  # type: ignore[union-attr]
        trained.step(10)
        moments = [t for name, t in trained.state().tensors.items() if name.startswith("optimizer/exp_avg/")]
        found = torch.cat([t.flatten() for t in moments]).norm()
        assert float(found) == pytest.approx(0.1 * min(float(norm), 1.0), rel=1e-4)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_rate_that_falls_has_its_peak_early_however_few_updates_there_are(schedule: str) -> None:
    """Break seen to fail: ten updates of warm-up, which may be all that there are."""
    one = lane(schedule=schedule, lr=1.0)
    for total in (8, 23, 200, 1000):
        rates = [rate(one, step, total) for step in range(1, total + 1)]
        peak = rates.index(1.0)
        assert peak == min(10, -(-3 * total // 100)) - 1
        assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
        assert rates[-1] > 0.0
    assert [rate(lane(lr=1.0), step, 8) for step in (1, 8, 10, 400)] == [0.1, 0.8, 1.0, 1.0]
