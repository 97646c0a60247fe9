"""Products with frozen weights by tiles: as near to fp64 as torch's, each row by itself, and in whole passes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from models_made import tiny
from stack_rows import assert_alike, lane, largest_gap, random_row, stack_run, track_of
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fewfit.engine import native, products
from fewfit.engine.adapters import Untouched, Wrapped
from fewfit.engine.products import Frozen
from fewfit.engine.stack import adaptable
from fewfit.grid import Lane

FLOOR = 2e-7  # of relative errors, where torch happens to round less: a part left out makes one of 3e-6
ONCE = 2.0**-8  # what rounding to bf16 changes at most, relatively
DTYPE = {"bf16 in fp32": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16}
SAME = {torch.float32: "fp32", torch.bfloat16: "bf16"}
BY_DTYPE = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@pytest.fixture(autouse=True)
def tiled() -> None:
    torch.set_num_threads(1)
    if not native.has_tiles():
        pytest.skip("no tiles here, or no C compiler")


def some(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def layers(ins: int, widths: Sequence[int], weights: str, *, conv: bool = False, bias: bool = False) -> list[Any]:
    made = []
    for place, wide in enumerate(widths):
        module: Any = Conv1D(wide, ins) if conv else nn.Linear(ins, wide, bias=bias)
        with torch.no_grad():
            module.weight.copy_(some(*module.weight.shape, seed=1 + place) * ins**-0.5)
            if module.bias is not None:
                module.bias.copy_(some(wide, seed=9 + place))
        rounded = module if weights == "fp32" else module.to(torch.bfloat16)
        made.append((rounded.float() if weights == "bf16 in fp32" else rounded).requires_grad_(False))
    return made


def near(ours: Tensor, exact: Tensor, stock: Tensor) -> None:
    """In fp32 no farther from it than torch is, in bf16 rounded once."""
    assert ours.dtype == stock.dtype
    if ours.dtype == torch.bfloat16:
        torch.testing.assert_close(ours.double(), exact, rtol=1.01 * ONCE, atol=1e-6 * float(exact.abs().max()))
        return
    gap, torchs = (float((got.double() - exact).norm() / exact.norm()) for got in (ours, stock))
    assert gap <= max(torchs, FLOOR)


@pytest.mark.parametrize("weights", DTYPE)
@pytest.mark.parametrize(
    ("rows", "ins", "widths"),
    [
        (64, 64, [64, 32, 32]),
        (1, 37, [5]),  # nothing fills a tile
        (33, 48, [80, 24]),
        (70, 257, [131, 16, 1]),
        (300, 600, [7, 160]),  # more rows than are split at once
    ],
)
@pytest.mark.parametrize("conv", [False, True])
def test_equal_to_fp64(rows: int, ins: int, widths: list[int], weights: str, conv: bool) -> None:
    """Outputs and gradients of the input, of all siblings and of some. Breaks seen to fail: a row's third part left
    out, or a weight's, or the product of the second ones; columns that fill half of a pair of tiles."""
    modules = layers(ins, widths, weights, conv=conv, bias=conv)
    ours, stock = Frozen(modules, True), Frozen(modules, False)
    x_ND = some(rows, ins, dtype=DTYPE[weights])
    grads = [some(rows, wide, seed=20 + wide, dtype=x_ND.dtype) for wide in widths]
    assert ours.tiled(x_ND) and not stock.tiled(x_ND)
    for part in (range(len(widths)), range(len(widths))[-1:], range(len(widths))[:2]):
        for m, out, torchs in zip(part, ours.times(x_ND, part), stock.times(x_ND, part), strict=True):
            bias = 0 if modules[m].bias is None else modules[m].bias.double()
            near(out, x_ND.double() @ products.weight(modules[m]).double().t() + bias, torchs)
        given = [grads[m] for m in part]
        exact = sum(grads[m].double() @ products.weight(modules[m]).double() for m in part)
        near(ours.back(given, part), exact, stock.back(given, part))


@pytest.mark.parametrize("weights", DTYPE)
@pytest.mark.parametrize("bias", [False, True])
def test_on_top_of_what_is_there(weights: str, bias: bool) -> None:
    """Rows of it may be farther apart than they are wide. Break seen to fail: the same row of it under every row."""
    modules = layers(48, [37], weights, bias=bias)
    x_ND = some(41, 48, dtype=DTYPE[weights])
    onto_NO = some(41, 45, seed=3, dtype=x_ND.dtype)[:, :37]
    (out_NO,) = Frozen(modules, True).times(x_ND, onto_NO=onto_NO)
    exact = onto_NO.double() + x_ND.double() @ modules[0].weight.double().t()
    exact += modules[0].bias.double() if bias else 0
    if bias and weights == "bf16":  # a rounding for each, as torch's
        torch.testing.assert_close(out_NO.double(), exact, rtol=2 * ONCE, atol=2 * ONCE)
    else:
        near(out_NO, exact, Frozen(modules, False).times(x_ND, onto_NO=onto_NO.clone())[0])
    assert torch.equal(onto_NO, some(41, 45, seed=3, dtype=x_ND.dtype)[:, :37])


@BY_DTYPE
def test_numbers_may_lie_in_any_order(dtype: torch.dtype) -> None:
    """Rows farther apart than wide, columns as rows, one number for all. Break seen to fail: rows taken for dense."""
    modules = layers(40, [24, 50], SAME[dtype])
    frozen = Frozen(modules, True)
    for spread in (some(21, 60, dtype=dtype)[:, 7:47], some(40, 21, dtype=dtype).t(), some(1, 40, dtype=dtype)):
        x_ND = spread.expand(21, 40)
        for apart, dense in zip(frozen.times(x_ND), frozen.times(x_ND.clone().contiguous()), strict=True):
            assert torch.equal(apart, dense)
    for grad in (some(50, 21, dtype=dtype).t(), some(1, 1, dtype=dtype).expand(21, 50)):
        assert torch.equal(frozen.back([grad], (1,)), frozen.back([grad.clone().contiguous()], (1,)))


@BY_DTYPE
@pytest.mark.parametrize("ins", [40, 600])
def test_a_row_is_the_same_whatever_shares_its_product(ins: int, dtype: torch.dtype) -> None:
    """To the bit, wherever it stands and whether bias and siblings are there. Break seen to fail: under rows
    beyond the first that are split at once, the first ones' rows."""
    frozen = Frozen(layers(ins, [70, 19], SAME[dtype], bias=True), True)
    x_ND, *grads = (some(300, wide, seed=wide, dtype=dtype) for wide in (ins, 70, 19))

    def run(rows: Any) -> list[Tensor]:
        onto_NO = frozen.times(x_ND[rows], (1,), onto_NO=grads[1][rows])
        return [*frozen.times(x_ND[rows]), *onto_NO, frozen.back([grad[rows] for grad in grads])]

    together = run(slice(None))
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    for rows in (*(slice(n, 2 * n) for n in range(1, 71)), slice(290, None), order):
        assert all(torch.equal(whole[rows], alone) for whole, alone in zip(together, run(rows), strict=True)), rows
    assert torch.equal(frozen.times(x_ND, (0,))[0], together[0])


@BY_DTYPE
@pytest.mark.parametrize("wild", [float("nan"), float("inf"), -3.4e38])
def test_what_is_no_number_harms_itself_only(wild: float, dtype: torch.dtype) -> None:
    """A row, and a weight. Break seen to fail: a weight's NaN of all bits, which rounding would make a 0."""
    modules = layers(48, [40], SAME[dtype])
    frozen, x_ND = Frozen(modules, True), some(37, 48, dtype=dtype)
    (calm,), others = frozen.times(x_ND), torch.arange(37) != 5
    x_ND[5, 7] = wild
    (out,) = frozen.times(x_ND)
    assert torch.equal(out[others], calm[others])
    assert not out[5].isfinite().any() or abs(wild) < float("inf")
    modules[0].weight.view(torch.int32 if dtype == torch.float32 else torch.int16)[3, 4] = -1
    (out,) = frozen.times(x_ND)
    assert out[:, 3].isnan().all() and torch.equal(out[others][:, 4:], calm[others][:, 4:])


def test_a_weight_that_was_changed_is_noticed() -> None:
    """In place, also to one of more parts, or for another. Break seen to fail: copies kept for good."""
    (module,) = modules = layers(40, [24], "bf16 in fp32")
    frozen, x_ND, grad_NO = Frozen(modules, True), some(9, 40), some(9, 24)

    def right() -> None:
        stock = Frozen(modules, False)
        near(frozen.times(x_ND)[0], x_ND.double() @ module.weight.double().t(), stock.times(x_ND)[0])
        near(frozen.back([grad_NO]), grad_NO.double() @ module.weight.double(), stock.back([grad_NO]))

    right()
    module.weight.mul_(2.0)
    right()
    module.weight.add_(some(24, 40, seed=5))
    with torch.inference_mode():
        module.weight = nn.Parameter(some(24, 40, seed=7), requires_grad=False)
    right()


@pytest.mark.parametrize("wide", [64, 128, 256])
def test_another_weight_in_the_same_place_is_noticed(wide: int) -> None:
    """Memory that is given back comes to be used again. Break seen to fail: the old weight not held."""
    module, x_ND = nn.Linear(wide, wide, bias=False).requires_grad_(False), some(5, wide)
    frozen = Frozen([module], True)
    frozen.times(x_ND)
    module.to(torch.bfloat16)
    module.to(torch.float32)
    near(frozen.times(x_ND)[0], x_ND.double() @ module.weight.double().t(), Frozen([module], False).times(x_ND)[0])


def test_want_of_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: what the function gives back not looked at."""
    copy = native.tiles(some(16, 32), 3)

    monkeypatch.setattr(native, "machine_code", lambda: Mock(tiles_product=lambda *what: 0))
    with pytest.raises(MemoryError, match="no room"):
        native.tiles_product([some(4, 32)], [[copy]], [None])


def test_several_threads_and_other_dtypes_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = Frozen(layers(32, [16], "fp32"), True)
    assert frozen.tiled(some(4, 32)) and not frozen.tiled(some(4, 32).bfloat16())
    assert not Frozen([nn.Linear(32, 16).double()], True).tiled(some(4, 32).double())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not frozen.tiled(some(4, 32))


def test_models_whose_copies_would_be_too_large_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: two copies of two bytes a part, one part if they came as bf16. Break seen to fail: parts forgotten."""
    models = [tiny("qwen3"), tiny("qwen3", dtype=torch.bfloat16), tiny("qwen3", dtype=torch.bfloat16).float()]
    linear = {id(m.weight): m.weight.numel() for m in models[0].modules() if isinstance(m, nn.Linear)}
    sizes = [12 * sum(linear.values()), *[4 * sum(linear.values())] * 2]
    assert [products.copied_bytes(model) for model in models] == sizes
    assert products.copied_bytes(tiny("qwen3", dtype=torch.float64)) == 0
    for least, expected in ((sizes[0], sizes), (sizes[0] - 1, [0, *sizes[1:]]), (sizes[1] - 1, [0, 0, 0])):
        monkeypatch.setattr(products, "MOST", least)
        assert [products.copied_bytes(model) for model in models] == expected
        for model, size in zip(models, expected, strict=True):
            wrapped = Wrapped(model, adaptable(model))
            assert {group.frozen.tiled(some(1, 1, dtype=model.dtype)) for group in wrapped.groups} == {size > 0}
            wrapped.close()
    monkeypatch.undo()
    monkeypatch.setattr(native, "has_tiles", lambda: False)
    assert products.copied_bytes(models[0]) == 0


@pytest.mark.parametrize("name", ["llama", "gpt2", "olmo2", "gpt-neox"])
def test_lanes_in_a_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is to the bit what it is alone, beside lanes that prompt only and rows that train nothing, and close to what
    torch's products make it. Break seen to fail: layers that no row adapts left to torch."""
    lanes = (lane(), lane(rank=4, lr=1e-3), lane(layers="upper-half"), Lane(shots=4), Lane(shots=2))
    rng = random.Random(4)
    steps = []
    for step in range(6):
        longest, kind = 16 * rng.randrange(2, 5), ("", "one-apart", "several")[step % 3]
        steps.append([random_row(track_of(one), rng, choices=kind, train=one.trains and step != 4,
                                 length=longest - rng.randrange(16)) for one in lanes])  # fmt: skip
    products_made, untouched = Mock(wraps=native.tiles_product), Mock(wraps=Untouched.forward)
    monkeypatch.setattr(native, "tiles_product", products_made)
    monkeypatch.setattr(Untouched, "forward", untouched)
    model = tiny(name, dtype=torch.bfloat16).float()
    together = stack_run(model, lanes, steps)
    assert products_made.call_count > 100 and (name == "llama" or untouched.call_count > 10)
    for index, one in enumerate(lanes):
        alone = stack_run(model, [one], [[rows[index]] for rows in steps])
        assert together[track_of(one)][0] == alone[track_of(one)][0]
        assert largest_gap(together[track_of(one)][1], alone[track_of(one)][1]) == 0.0
    monkeypatch.setattr(native, "has_tiles", lambda: False)
    products_made.reset_mock()
    torchs = stack_run(model, lanes, steps)
    assert not products_made.called
    for one in lanes:
        assert_alike(together[track_of(one)][0], torchs[track_of(one)][0], 1e-5)
