"""The compiled steps of a layer equal the same in fp64, rounded once; where nothing compiles, torch does them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fewfit.engine import blocks, native
from fewfit.engine.attention import rotated

ONCE = 2.0**-8  # what rounding to bf16 changes at most, relatively


@pytest.fixture(autouse=True)
def compiled() -> None:
    torch.set_num_threads(1)
    if native.machine_code() is None:
        pytest.skip("no C compiler here")


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def assert_rounded_once(ours: Tensor, exact: Tensor) -> None:
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), exact, rtol=1.01 * ONCE, atol=1e-5)


@pytest.mark.parametrize("width", [16, 40, 256, 577])
def test_norm_and_its_gradient(width: int) -> None:
    """Break seen to fail: the epsilon left out; the gradient beside it not added."""
    x, weight_D, grad, beside = some(7, width), some(width, seed=1), some(7, width, seed=2), some(7, width, seed=3)
    for flow in (beside, None):
        leaf = x.double().requires_grad_()
        exact = leaf * torch.rsqrt(leaf.square().mean(-1, keepdim=True) + 1e-2) * weight_D.double()
        (exact_grad,) = torch.autograd.grad(exact, leaf, grad.double())
        out, scale = native.norm(x, weight_D, 1e-2)
        assert_rounded_once(out, exact.detach())
        got = native.norm_backward(grad, x, scale, weight_D, flow)
        assert_rounded_once(got, exact_grad + (0 if flow is None else flow.double()))


def test_gate_and_its_gradient() -> None:
    gate, up, grad = 8 * some(9, 50), some(9, 50, seed=1), some(9, 50, seed=2)
    leaves = [part.double().requires_grad_() for part in (gate, up)]
    exact = torch.nn.functional.silu(leaves[0]) * leaves[1]
    exact_grads = torch.autograd.grad(exact, leaves, grad.double())
    assert_rounded_once(native.gated(gate, up), exact.detach())
    for ours, true in zip(native.gated_backward(grad, gate, up), exact_grads, strict=True):
        assert_rounded_once(ours, true)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_rotation_over_any_strides(back: bool, batch: int) -> None:
    x = some(3, 5, 2, 2, 24).transpose(1, 2)
    angle = some(batch, 5, 12, seed=1).repeat(1, 1, 2)
    cos, sin = angle.cos(), angle.sin()
    out = torch.full((3, 2, 5, 2, 26), 7.0).bfloat16()
    native.rotate(x, cos, sin, back, out[..., :24])
    exact = rotated(x.double(), cos.double()[:, None, :, None], sin.double()[:, None, :, None], back)
    assert_rounded_once(out[..., :24], exact)
    assert bool((out[..., 24:] == 7).all())


def test_extremes_stay_what_they_are() -> None:
    """NaN and infinity come out as such and in their own row."""
    x = some(4, 32)
    x[1, 3] = float("nan")
    out, _ = native.norm(x, torch.ones(32).bfloat16(), 1e-6)
    assert out.isnan().any(dim=1).tolist() == [False, True, False, False]
    gate = torch.tensor([-300.0, -100.0, 0.0, 100.0, 300.0, float("nan"), float("inf")] * 5).bfloat16()
    out = native.gated(gate, torch.ones_like(gate))
    assert (
        out[:5].tolist() == pytest.approx([0.0, 0.0, 0.0, 100.0, 300.0], abs=1e-30)
        and out[5].isnan()
        and out[6].isinf()
    )


def test_tiny_numbers_are_not_flushed_by_loading_it() -> None:
    """Break seen to fail: -ffast-math, which links a start-up that changes the processor's mode."""
    assert native.machine_code() is not None
    assert float(torch.tensor(1e-40) * 0.5) > 0.0


def test_without_a_compiler_torch_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = blocks.normed(some(4, 32), some(32, seed=1), 1e-6, True)[0]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.machine_code.cache_clear()
    try:
        assert native.machine_code() is None and not native.serves(some(1))
        slow = blocks.normed(some(4, 32), some(32, seed=1), 1e-6, True)[0]
    finally:
        monkeypatch.undo()
        native.machine_code.cache_clear()
    torch.testing.assert_close(fast, slow, rtol=2 * ONCE, atol=1e-6)


def test_other_dtypes_and_several_threads_are_left_to_torch() -> None:
    assert native.serves(some(1)) and not native.serves(some(1).float())
    torch.set_num_threads(2)
    try:
        assert not native.serves(some(1))
    finally:
        torch.set_num_threads(1)
