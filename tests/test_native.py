"""The compiled steps of a layer equal the same in fp64, rounded once; where nothing compiles, torch does them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fewfit.engine import blocks, native
from fewfit.engine.attention import rotated

ONCE = 2.0**-8  # what rounding to bf16 changes at most, relatively
BOTH = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])


@pytest.fixture(autouse=True)
def compiled() -> None:
    torch.set_num_threads(1)
    if native.machine_code() is None:
        pytest.skip("no C compiler here")


def some(*shape: int, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def assert_rounded_once(ours: Tensor, exact: Tensor) -> None:
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), exact, rtol=1.01 * ONCE, atol=1e-5)


def assert_exact(ours: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    """But for one rounding to bf16, or some of fp32's (sums near 0 of terms of about 1 are off by theirs)."""
    if dtype == torch.bfloat16:
        return assert_rounded_once(ours, exact)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), exact, rtol=5e-7, atol=5e-7)


@BOTH
@pytest.mark.parametrize("width", [16, 40, 256, 577])
def test_norm_and_its_gradient(width: int, dtype: torch.dtype) -> None:
    """Break seen to fail: the epsilon left out; the gradient beside it not added."""
    x, grad, beside = (some(7, width, seed=seed, dtype=dtype) for seed in (0, 2, 3))
    weight_D = some(width, seed=1, dtype=dtype)
    for flow in (beside, None):
        leaf = x.double().requires_grad_()
        exact = leaf * torch.rsqrt(leaf.square().mean(-1, keepdim=True) + 1e-2) * weight_D.double()
        (exact_grad,) = torch.autograd.grad(exact, leaf, grad.double())
        out, scale = native.norm(x, weight_D, 1e-2)
        assert_exact(out, exact.detach(), dtype)
        got = native.norm_backward(grad, x, scale, weight_D, flow)
        assert_exact(got, exact_grad + (0 if flow is None else flow.double()), dtype)


@BOTH
@pytest.mark.parametrize("shape", [(9, 50), (3, 7), (2, 256)])
def test_gate_and_its_gradient(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """Break seen to fail: what does not fill a chunk left out; the gradient of silu without its second term."""
    gate, up, grad = (some(*shape, seed=seed, dtype=dtype) for seed in (0, 1, 2))
    gate *= 8
    leaves = [part.double().requires_grad_() for part in (gate, up)]
    exact = torch.nn.functional.silu(leaves[0]) * leaves[1]
    exact_grads = torch.autograd.grad(exact, leaves, grad.double())
    assert_exact(native.gated(gate, up), exact.detach(), dtype)
    for ours, true in zip(native.gated_backward(grad, gate, up), exact_grads, strict=True):
        assert_exact(ours, true, dtype)


def test_the_gate_is_exact_to_some_units_of_fp32() -> None:
    """Its exponential too, which is all that it is far below 0. Break seen to fail: ln 2 as one number, or as two whose
    products the compiler may put together again."""
    gate = torch.linspace(-80, 20, 200_001)
    exact = torch.nn.functional.silu(gate.double())
    off = (native.gated(gate, torch.ones_like(gate)).double() - exact).abs() / exact.abs().clamp(min=1e-30)
    assert float(off.max()) < 2.5e-7


@BOTH
def test_a_number_is_gated_alike_wherever_it_stands(dtype: torch.dtype) -> None:
    """Break seen to fail: what does not fill a chunk done by itself, without fused products."""
    gate, up, grad = (some(1500, seed=seed, dtype=dtype) for seed in (0, 1, 2))
    gate *= 8

    def of(start: int, end: int) -> list[Tensor]:
        parts = gate[start:end], up[start:end]
        return [native.gated(*parts), *native.gated_backward(grad[start:end].clone(), *parts)]

    whole = of(0, 1500)
    for start in (0, 1, 5, 16, 100, 1000):
        for length in (1, 3, 15, 16, 17, 255, 256, 257, 500):
            for part, all_of_it in zip(of(start, start + length), whole, strict=True):
                assert torch.equal(part, all_of_it[start : start + length]), (start, length)


@BOTH
@pytest.mark.parametrize("width", [16, 40, 192, 577])
def test_a_row_is_normed_alike_whoever_shares_the_pass(width: int, dtype: torch.dtype) -> None:
    """Break seen to fail: sums of all rows but the last begun at the row's other end."""
    x, grad, beside = (some(9, width, seed=seed, dtype=dtype) for seed in (0, 2, 3))
    weight_D = some(width, seed=1, dtype=dtype)
    out, scale = native.norm(x, weight_D, 1e-6)
    back = native.norm_backward(grad, x, scale, weight_D, beside)
    for start, end in ((0, 1), (1, 2), (3, 8), (8, 9)):
        for shift in (0, 1, 7):  # where the rows begin in memory, too
            some_x, some_grad, some_beside = (moved(part[start:end], shift) for part in (x, grad, beside))
            part, part_scale = native.norm(some_x, weight_D, 1e-6)
            part_back = native.norm_backward(some_grad, some_x, part_scale, weight_D, some_beside)
            assert torch.equal(part, out[start:end]) and torch.equal(part_scale, scale[start:end])
            assert torch.equal(part_back, back[start:end])


def moved(x: Tensor, shift: int) -> Tensor:
    return torch.cat([x.new_zeros(shift), x.flatten()])[shift:].view(x.shape)


@BOTH
def test_numbers_that_lie_apart(dtype: torch.dtype) -> None:
    """Break seen to fail: taken as if they lay together."""
    wide = [some(6, 80, seed=seed, dtype=dtype)[:, :40] for seed in range(4)]
    dense = [part.clone(memory_format=torch.contiguous_format) for part in wide]
    weight_D = some(40, seed=4, dtype=dtype)
    results = []
    for x, up, grad, beside in (wide, dense):
        out, scale = native.norm(x, weight_D, 1e-6)
        back = native.norm_backward(grad, x, scale, weight_D, beside)
        results.append([out, back, native.gated(x, up), *native.gated_backward(grad.clone(), x, up)])
    for apart, together in zip(*results, strict=True):
        assert torch.equal(apart, together)


def test_rows_in_fp32_are_rounded_alike_in_training_and_in_predictions() -> None:
    """And by one pass, on one thread. Break seen to fail: predictions left to torch, as in bf16."""
    x, up = (some(6, 40, seed=seed, dtype=torch.float32) for seed in (0, 1))
    weight_D = some(40, seed=2, dtype=torch.float32)
    for train in (False, True):
        assert torch.equal(blocks.gated(x, up, train), native.gated(x, up))
        for ours, one_pass in zip(blocks.normed(x, weight_D, 1e-6, train), native.norm(x, weight_D, 1e-6), strict=True):
            assert torch.equal(ours, one_pass)
    scale = native.norm(x, weight_D, 1e-6)[1]
    assert torch.equal(
        blocks.normed_backward(up.clone(), x, scale, weight_D, None), native.norm_backward(up, x, scale, weight_D, None)
    )
    for ours, one_pass in zip(
        blocks.gated_backward(up.clone(), x, up), native.gated_backward(up.clone(), x, up), strict=True
    ):
        assert torch.equal(ours, one_pass)


def test_predictions_in_bf16_round_as_the_library_does() -> None:
    x, up, weight_D = some(6, 40), some(6, 40, seed=1), some(40, seed=2)
    assert torch.equal(blocks.gated(x, up, False), torch.nn.functional.silu(x) * up)
    x_32 = x.float()
    library = weight_D * (x_32 * torch.rsqrt(x_32.square().mean(-1, keepdim=True) + 1e-6)).bfloat16()
    assert torch.equal(blocks.normed(x, weight_D, 1e-6, False)[0], library)


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


@BOTH
def test_extremes_stay_what_they_are(dtype: torch.dtype) -> None:
    """NaN and infinity come out as such and in their own row."""
    x = some(4, 32, dtype=dtype)
    x[1, 3] = float("nan")
    out, _ = native.norm(x, torch.ones(32, dtype=dtype), 1e-6)
    assert out.isnan().any(dim=1).tolist() == [False, True, False, False]
    gate = torch.tensor([-300.0, -100.0, 0.0, 100.0, 300.0, float("nan"), float("inf")] * 5).to(dtype)
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


def test_a_change_of_what_is_included_compiles_anew() -> None:
    """Break seen to fail: rows.h left out of what names the library."""
    asked = {name for source in native.SOURCES for name in re.findall(r'#include "(.+)"', source.read_text())}
    assert asked == {path.name for path in native.INCLUDED} != set()


@BOTH
def test_without_a_compiler_torch_does_it(dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight_D = some(4, 32, dtype=dtype), some(32, seed=1, dtype=dtype)
    fast = blocks.normed(x, weight_D, 1e-6, True)[0]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.machine_code.cache_clear()
    try:
        assert native.machine_code() is None and not native.serves_bf16(some(1)) and not native.serves(x)
        slow = blocks.normed(x, weight_D, 1e-6, True)[0]
    finally:
        monkeypatch.undo()
        native.machine_code.cache_clear()
    torch.testing.assert_close(fast, slow, rtol=2 * ONCE if dtype == torch.bfloat16 else 1e-6, atol=1e-6)


def test_other_dtypes_and_several_threads_are_left_to_torch() -> None:
    assert native.serves_bf16(some(1)) and not native.serves_bf16(some(1).float())
    assert native.serves(some(1)) and native.serves(some(1).float())
    assert not native.serves(some(1).half()) and not native.serves(some(1).float(), some(1))
    torch.set_num_threads(2)
    try:
        for x in (some(1), some(1).float()):
            assert not native.serves_bf16(x) and not native.serves(x)
    finally:
        torch.set_num_threads(1)
