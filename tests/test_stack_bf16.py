"""Models in bf16: adapters and optimizer stay fp32, as PEFT has them, and what is rounded is rounded no worse."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from models_made import tiny
from stack_rows import lane, largest_gap, opened, plain_run, random_row, rows_of, stack_run, track_of

from fewfit.engine import attention, blocks, native, thin
from fewfit.engine.adapters import Wrapped
from fewfit.engine.learner import Row, Scored
from fewfit.engine.rowmap import Pass
from fewfit.engine.stack import adaptable
from fewfit.engine.targets import layer_prefixes
from fewfit.grid import Lane

BY_HAND = ("llama", "qwen3", "mistral")
WHOLE = ("llama-whole", "qwen3-whole")  # whose widths are whole tiles
LANES = (lane(), lane(rank=4), lane(optimizer="adafactor"), lane(layers="upper-half"))


def rounded(name: str, dtype: torch.dtype) -> Any:
    """The weights of the model in bf16, computed with in `dtype`."""
    return tiny(name, dtype=torch.bfloat16).to(dtype)


def distance(some: list[Scored], exact: list[Scored]) -> float:
    return float(torch.tensor([a.nll - b.nll for a, b in zip(some, exact, strict=True)]).square().mean().sqrt())


@pytest.mark.parametrize("name", BY_HAND)
def test_layers_are_run_by_hand(name: str) -> None:
    wrapped = Wrapped(model := tiny(name, dtype=torch.bfloat16), adaptable(model))
    assert blocks.take_over(wrapped, layer_prefixes(model)) == 3
    wrapped.close()


@pytest.mark.parametrize("name", BY_HAND)
def test_without_a_backward_every_layer_is_the_librarys_own_to_the_bit(name: str) -> None:
    """Break seen to fail: the rotation rounded once in place of three times."""
    wrapped = Wrapped(model := tiny(name, dtype=torch.bfloat16), adaptable(model))
    prefixes = layer_prefixes(model)
    modules, groups = dict(model.named_modules()), {n: group for group in wrapped.groups for n in group.names}
    seen = blocks.first_calls(model, [modules[prefix.removesuffix(".")] for prefix in prefixes])
    for prefix in prefixes:
        layer = modules[prefix.removesuffix(".")]
        x, kwargs, expected = seen[layer]
        block = blocks.Block(layer, groups, prefix, last=False)
        now = Pass([None] * len(x), x.dtype)
        assert torch.equal(
            blocks.Layer.apply(x, None, block, now, *kwargs["position_embeddings"], None, None), expected
        )
    wrapped.close()


@pytest.mark.parametrize(
    ("name", "compiled"), [*((name, True) for name in (*BY_HAND, *WHOLE)), ("qwen3", False), ("qwen3-whole", False)]
)
def test_a_lane_is_as_near_to_the_exact_one_as_stock_peft_is(
    name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After twelve updates; exact is fp64 on the same weights."""
    torch.set_num_threads(1)
    if not compiled:
        monkeypatch.setattr(native, "machine_code", lambda: None)
    steps = rows_of(LANES, 13)
    exact = plain_run(rounded(name, torch.float64), LANES, steps)
    ours = stack_run(rounded(name, torch.bfloat16), LANES, steps)
    theirs = plain_run(rounded(name, torch.bfloat16), LANES, steps)
    mine, other = (
        torch.tensor([distance(run[track_of(one)][0], exact[track_of(one)][0]) for one in LANES])
        for run in (ours, theirs)
    )
    assert mine.mean() <= 1.3 * other.mean(), (mine, other)
    for one in LANES:
        assert {t.dtype for t in ours[track_of(one)][1].tensors.values()} <= {torch.float32, torch.float64}


def test_what_is_exported_is_what_was_tested(tmp_path: Any) -> None:
    """The exported adapter in fp64: what was said in bf16 is no farther from it than stock PEFT in bf16 is, and far
    nearer than a model without the adapter. Breaks seen to fail: the adapters' share 1.5 times what it should be; A·x
    added to the wrong tokens."""
    from peft import PeftModel

    from fewfit.engine.forward import logits_at

    def nll(model: Any, row: Row) -> float:
        start, end = row.spans[-1]
        with torch.no_grad():
            logits_NV = logits_at(model, [row.ids], [list(range(start - 1, end - 1))])
        return float(torch.nn.functional.cross_entropy(logits_NV, torch.tensor(row.ids[start:end]), reduction="sum"))

    def served(dtype: torch.dtype, folder: Path) -> Any:
        return PeftModel.from_pretrained(tiny("llama", dtype=torch.bfloat16).to(dtype), str(folder)).to(dtype).eval()

    ours, stock, fresh = [], [], []
    one = lane()
    for seed in range(4, 22):  # of three, the ratio swings by a third
        folder, rng = tmp_path / str(seed), random.Random(seed)
        rows = [random_row(track_of(one), rng, length=33) for _ in range(12)]
        learner = opened(tiny("llama", dtype=torch.bfloat16), [one])
        for row in rows:
            learner.update([row])
        told = [result for row in rows for result in learner.predict([row])]
        learner.export(track_of(one), folder)
        learner.close()
        true, half, bare = served(torch.float64, folder), served(torch.bfloat16, folder), tiny("llama").double()
        for row, result in zip(rows, told, strict=True):
            assert result is not None
            exact = nll(true, row)
            ours.append(result.nll - exact)
            stock.append(nll(half, row) - exact)
            fresh.append(nll(bare, row) - exact)
    size = [math.sqrt(sum(gap**2 for gap in gaps) / len(gaps)) for gaps in (ours, stock, fresh)]  # nats an answer
    assert size[0] < 1.1 * size[1] < 0.1
    assert max(map(abs, ours[:36])) < min(map(abs, fresh[:36]))  # of three seeds: extremes of all eighteen meet
    assert size[0] < 0.04 * size[2]
    assert all(abs(gap) < abs(without) for gap, without in zip(ours, fresh, strict=True))


@pytest.mark.parametrize(("heads", "groups", "length"), [(4, 4, 48), (4, 2, 130), (6, 1, 300), (3, 3, 16)])
@pytest.mark.parametrize("size", [1.0, 3.0])
@pytest.mark.parametrize("compiled", [True, False])
def test_attentions_gradients_are_no_worse_than_torchs(
    heads: int, groups: int, length: int, size: float, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks seen to fail: the log-sum-exp by its upper bits only; heads that share keys not counted in the mask."""
    torch.set_num_threads(1)
    if not compiled:
        monkeypatch.setattr(native, "machine_code", lambda: None)
    torch.manual_seed(0)
    width, scaling = 16, 0.25
    q, k, v, grad = (torch.randn(2, length, n, width).bfloat16() for n in (heads, groups, groups, heads))
    q, k = size * q, size * k
    angle_TE = torch.randn(1, length, width // 2).repeat(1, 1, 2)

    def gradients(dtype: torch.dtype, hand: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
        turn = (angle_TE.cos().bfloat16().to(dtype), angle_TE.sin().bfloat16().to(dtype))
        parts = [part.to(dtype) for part in (q, k, v)]
        kept_by_hand, attention.by_hand = attention.by_hand, lambda like: hand
        try:
            out_ND, kept = attention.attend_even(*parts, turn, scaling, True)
        finally:
            attention.by_hand = kept_by_hand
        assert kept is not None
        return list(attention.even_backward(grad.to(dtype), kept, turn, scaling)), out_ND

    exact, out_exact = gradients(torch.float64, hand=False)
    torchs, out_torch = gradients(torch.bfloat16, hand=False)
    ours, out_ours = gradients(torch.bfloat16, hand=True)
    for mine, other, true in zip((out_ours, *ours), (out_torch, *torchs), (out_exact, *exact), strict=True):
        gap, stock = ((some.double() - true).norm() / true.norm() for some in (mine, other))
        assert gap < max(1.5 * stock, 0.01)


@pytest.mark.parametrize("name", ["llama", *WHOLE])
def test_rows_beside_others_differ_by_rounding_alone(name: str) -> None:
    """oneDNN's bf16 products choose their order of summing by the number of rows: promise 3 holds to rounding only."""
    lanes = (*LANES, lane(rank=2))
    rng = random.Random(8)
    steps = [[random_row(track_of(one), rng, length=40) for one in lanes] for _ in range(5)]
    together = stack_run(tiny(name, dtype=torch.bfloat16), lanes, steps)
    for index, one in enumerate(lanes):
        alone = stack_run(tiny(name, dtype=torch.bfloat16), [one], [[rows[index]] for rows in steps])
        assert distance(together[track_of(one)][0], alone[track_of(one)][0]) < 0.1


@pytest.mark.parametrize("name", WHOLE)
def test_where_all_goes_by_tiles_a_lane_is_the_same_beside_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: what trains is tiles from end to end. Break seen to fail: adapters left to torch."""
    torch.set_num_threads(1)
    if not native.has_tiles():
        pytest.skip("no tiles here")
    linear, backward, attend = Mock(wraps=thin.linear), Mock(wraps=thin.linear_backward), Mock(wraps=native.attention)
    monkeypatch.setattr(thin, "linear", linear)
    monkeypatch.setattr(thin, "linear_backward", backward)
    monkeypatch.setattr(native, "attention", attend)
    lanes = (lane(), lane(rank=4, lr=1e-3), lane(layers="upper-half"), lane(optimizer="adafactor"), Lane(shots=2))
    rng = random.Random(5)
    steps = [
        [random_row(track_of(one), rng, length=rng.randrange(20, 70), train=one.trains) for one in lanes]
        for _ in range(5)
    ]
    model = tiny(name, dtype=torch.bfloat16)
    together = stack_run(model, lanes, steps)
    assert min(linear.call_count, backward.call_count, attend.call_count) >= 15
    for index, one in enumerate(lanes):
        alone = stack_run(model, [one], [[rows[index]] for rows in steps])
        assert together[track_of(one)][0] == alone[track_of(one)][0]
        assert largest_gap(together[track_of(one)][1], alone[track_of(one)][1]) == 0.0
