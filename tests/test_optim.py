"""Optimizers on one flat vector equal the stock ones on many parameters."""

from __future__ import annotations

import pytest
import torch
from models_made import tiny
from stack_rows import lane

from fewfit.engine import optim
from fewfit.engine.plain import optimizer as stock
from fewfit.engine.rowmap import Layout
from fewfit.engine.targets import adapted_modules
from fewfit.grid import Lane


def layout_of(name: str, one: Lane) -> Layout:
    model = tiny(name)
    return Layout(dict(model.named_modules()), adapted_modules(model, one), one.rank)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox"])
@pytest.mark.parametrize("settings", [
    {"optimizer": "adamw"}, {"optimizer": "adamw", "weight_decay": 0.1}, {"optimizer": "adafactor"},
    {"optimizer": "adafactor", "weight_decay": 0.1, "rank": 3}, {"optimizer": "adafactor", "layers": "upper-half"},
])  # fmt: skip
def test_thirty_steps_equal_the_stock_optimizer(name: str, settings: dict) -> None:
    """Break seen to fail: column means reversed; the decay's exponent -0.8 → -0.7; weight decay not applied."""
    one = lane(**settings)
    layout = layout_of(name, one)
    torch.manual_seed(0)
    weight_P = torch.randn(layout.size, dtype=torch.float64)
    parameters = [torch.nn.Parameter(layout.view(weight_P, n).clone()) for n in layout.parameters]
    ours, theirs = optim.optimizer(layout, one, weight_P), stock(one, parameters)
    for step in range(1, 31):
        gradient_P = torch.randn_like(weight_P) * 10.0 ** torch.randint(-6, 2, weight_P.shape)
        for parameter, n in zip(parameters, layout.parameters, strict=True):
            parameter.grad = layout.view(gradient_P, n).clone()
        for group in theirs.param_groups:
            group["lr"] = 1e-2 / step
        theirs.step()
        ours.step(weight_P, gradient_P, step, 1e-2 / step)
    for parameter, n in zip(parameters, layout.parameters, strict=True):
        assert torch.allclose(layout.view(weight_P, n), parameter.detach(), rtol=1e-10, atol=1e-12)


def test_clipping_is_torchs_and_refuses_what_is_not_finite() -> None:
    """Break seen to fail: clipping at 2."""
    for size in (0.01, 30.0):
        gradient_P = torch.randn(500, generator=torch.Generator().manual_seed(1)) * size
        parameter = torch.nn.Parameter(torch.zeros(500))
        parameter.grad = gradient_P.clone()
        torch.nn.utils.clip_grad_norm_([parameter], optim.CLIP)
        assert optim.clip(gradient_P)
        assert torch.allclose(gradient_P, parameter.grad, rtol=1e-6)
    for bad in (float("nan"), float("inf")):
        assert not optim.clip(torch.tensor([1.0, bad]))


def test_layers_alike_are_one_series() -> None:
    """What makes Adafactor cheap: fourteen products for any number of layers."""
    assert len(optim.evenly_spaced(layout_of("llama", lane()))) == 14
    layout = layout_of("phi3", lane())
    named = [n for names, _, _, _ in optim.evenly_spaced(layout) for n in names]
    assert sorted(named) == sorted(layout.parameters)
    for names, at, apart, shape in optim.evenly_spaced(layout):
        assert [layout.parameters[n] for n in names] == [(at + k * apart, shape) for k in range(len(names))]
