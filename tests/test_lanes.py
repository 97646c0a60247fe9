"""Lanes' adapters within the frozen product, by tiles: equal to the same in fp64, rounded once, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from fewfit.engine import native, thin

SCALE = 2.0
ONCE = 2.0**-8  # what rounding to bf16 changes at most, relatively
SUMS = 2e-5  # thin numbers have sixteen bits, sums are fp32
SHARES = [(8, 2, 40), (0, 1, 5), (6, 1, 7), (24, 1, 96), (0, 1, 35)]  # rank (0: nobody's rows), lanes, tokens of each


@pytest.fixture(autouse=True)
def tiled() -> None:
    torch.set_num_threads(1)
    if not native.has_tiles():
        pytest.skip("no tiles here")


class Case:
    """Siblings of some widths over an input, adapted by shares of several ranks."""

    def __init__(self, width: int, widths: Sequence[int], shares: Sequence[tuple[int, int, int]] = SHARES):
        generator = torch.Generator().manual_seed(width)

        def some(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).bfloat16()

        self.width, self.widths, self.shares = width, list(widths), list(shares)
        self.rows = sum(lanes * tokens for _, lanes, tokens in shares)
        self.weights = [some(wide, width) / 4 for wide in widths]
        self.biases: list[Tensor | None] = [some(wide) for wide in widths]
        self.x_ND, self.onto_NO = some(self.rows, width), some(self.rows, widths[0])
        self.grads = [some(self.rows, wide) for wide in widths]
        self.flat = [some(lanes, rank * (len(widths) * width + sum(widths))) / 4 for rank, lanes, _ in shares]
        self.into: list[Any] = [torch.full(flat.shape, float("nan")) for flat in self.flat]
        self.fresh = True

    def table(self) -> thin.Table:
        shares, start = [], 0
        for (rank, lanes, tokens), flat, into in zip(self.shares, self.flat, self.into, strict=True):
            start += lanes * tokens
            if rank == 0:
                continue
            b = [rank * (len(self.widths) * self.width + sum(self.widths[:m])) for m in range(len(self.widths))]
            shares.append(thin.Share(flat, rank, (0, b), start - lanes * tokens, start, into, self.fresh))
        return thin.Table.of(shares)

    def forward(self, under: Sequence[Tensor | None], gate: bool = False) -> tuple[list[Tensor], Tensor]:
        weights = [native.tiles(weight, 1) for weight in self.weights]
        return thin.linear(self.x_ND, self.table(), weights, under, SCALE, gate)

    def backward(self, h: Tensor, grads: list[Tensor], gates: Sequence[Tensor] = ()) -> Tensor:
        weights = [native.tiles(weight.t(), 1) for weight in self.weights]
        return thin.linear_backward(self.x_ND, self.table(), h, grads, weights, SCALE, gates)

    def exact(self, under: Sequence[Tensor | None]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Outputs, gradients of the lanes' vectors and of x, in fp64 by autograd."""
        x_ND, flat = self.x_ND.double().requires_grad_(), [one.double().requires_grad_() for one in self.flat]
        outs = [x_ND @ weight.double().t() for weight in self.weights]
        added, start = [[] for _ in self.widths], 0
        for (rank, _, tokens), vectors in zip(self.shares, flat, strict=True):
            for vector in vectors:
                parts = vector.split([rank * self.width] * len(self.widths) + [rank * wide for wide in self.widths])
                for m, wide in enumerate(self.widths):
                    a_RD, b_OR = parts[m].view(rank, self.width), parts[len(self.widths) + m].view(wide, rank)
                    added[m].append(SCALE * x_ND[start : start + tokens] @ a_RD.t() @ b_OR.t())
                start += tokens
        outs = [out + torch.cat(more) for out, more in zip(outs, added, strict=True)]
        grads = torch.autograd.grad(outs, [x_ND, *flat], [grad.double() for grad in self.grads])
        lifted = [out if low is None else out + low.double() for out, low in zip(outs, under, strict=True)]
        return [out.detach() for out in lifted], list(grads[1:]), grads[0]


def near(ours: Tensor, exact: Tensor, once: bool) -> None:
    """Rounded once to bf16, or as sums come."""
    most = SUMS * float(exact.abs().max())
    torch.testing.assert_close(ours.double(), exact, rtol=1.01 * ONCE if once else 0.0, atol=most)


@pytest.mark.parametrize(
    ("width", "widths", "kind"),
    [
        (64, [64, 32, 32], "bias"),
        (32, [96, 160], "plain"),
        (96, [64], "onto"),
        (256, [288], "onto"),
        (32, [32, 32], "one without bias"),
    ],
)
def test_equal_to_fp64_rounded_once(width: int, widths: list[int], kind: str) -> None:
    """Breaks seen to fail: the lower halves of thin numbers left out; one sibling's adapter in another's output;
    nobody's rows left out."""
    case = Case(width, widths)
    under = {"bias": case.biases, "plain": [None] * len(widths), "onto": [case.onto_NO]}.get(
        kind, [*case.biases[:-1], None]
    )
    outs, h = case.forward(under)
    exact_outs, exact_into, exact_gx = case.exact(under)
    for ours, exact in zip(outs, exact_outs, strict=True):
        near(ours, exact, once=True)
    near(case.backward(h, case.grads), exact_gx, once=True)
    for (rank, _, _), ours, exact in zip(case.shares, case.into, exact_into, strict=True):
        if rank:
            near(ours, exact, once=False)


def test_gradients_go_on_top_where_they_are_not_fresh_and_nowhere_where_none_are_wanted() -> None:
    """And rows may be farther apart than they are wide."""
    case = Case(64, [64, 32])
    under = [torch.cat([wide, wide], dim=1)[:, : wide.shape[1]] for wide in (case.onto_NO, case.grads[1])]
    case.x_ND = torch.cat([case.x_ND, case.x_ND], dim=1)[:, :64]
    case.grads = [torch.cat([grad, grad], dim=1)[:, : grad.shape[1]] for grad in case.grads]
    outs, h = case.forward(under)
    exact_outs, exact_into, exact_gx = case.exact(under)
    for ours, exact in zip(outs, exact_outs, strict=True):
        near(ours, exact, once=True)
    case.backward(h, case.grads)
    case.fresh, wanted = False, case.into[3]
    case.into = [*case.into[:3], None, *case.into[4:]]
    near(case.backward(h, case.grads), exact_gx, once=True)
    for (rank, _, _), ours, exact in zip(case.shares, case.into, exact_into, strict=True):
        if rank and ours is not None:
            near(ours, 2 * exact, once=False)
    near(wanted, exact_into[3], once=False)


def test_what_comes_through_a_gate() -> None:
    """To the bit what gate and product make one after the other."""
    case = Case(64, [96, 96])
    (gate, up, through), h = case.forward([None, None], gate=True)
    plain, h_plain = case.forward([None, None])
    assert torch.equal(gate, plain[0]) and torch.equal(up, plain[1]) and torch.equal(h, h_plain)
    assert torch.equal(through, native.gated(gate, up))
    given = torch.cat([case.grads[0], case.grads[0]], dim=1)[:, :96]  # rows farther apart than they are wide
    gx_ND = case.backward(h, [given], (gate, up))
    into, case.into = case.into, [torch.full_like(one, float("nan")) for one in case.into]
    grads = native.gated_backward(case.grads[0].clone(), gate, up)
    assert torch.equal(gx_ND, case.backward(h, list(grads)))
    assert all(torch.equal(one, other) for one, other in zip(into, case.into, strict=True))


def test_a_lane_is_the_same_beside_any_other() -> None:
    """To the bit, and beside NaN. Break seen to fail: sums over tokens go on into the next lane's."""
    case = Case(64, [64, 32], [(8, 3, 41)])
    case.x_ND[41:82] = float("nan")
    for grad in case.grads:
        grad[41:82] = float("nan")
    outs, h = case.forward(case.biases)
    gx_ND = case.backward(h, case.grads)
    for lane in (0, 2):
        rows = slice(lane * 41, (lane + 1) * 41)
        alone = Case(64, [64, 32], [(8, 1, 41)])
        alone.weights, alone.biases, alone.x_ND = case.weights, case.biases, case.x_ND[rows]
        alone.grads, alone.flat = [grad[rows] for grad in case.grads], [case.flat[0][lane : lane + 1]]
        outs_alone, h_alone = alone.forward(alone.biases)
        gx_alone = alone.backward(h_alone, alone.grads)
        assert all(torch.equal(out[rows], one) for out, one in zip(outs, outs_alone, strict=True))
        assert torch.equal(gx_ND[rows], gx_alone) and torch.equal(case.into[0][lane], alone.into[0][0])
        assert not gx_alone.isnan().any()
    assert outs[0][41:82].isnan().all()


def test_gradients_that_are_one_number_spread_over_all() -> None:
    """As autograd may hand them over. Break seen to fail: their distances taken as they are."""
    case = Case(32, [32])
    case.grads = [torch.ones(1, 1, dtype=torch.bfloat16).expand(case.rows, 32)]
    _, h = case.forward([None])
    near(case.backward(h, case.grads), case.exact([None])[2], once=True)


@pytest.mark.parametrize(("width", "widths", "rank"), [(48, [64], 8), (64, [40], 8), (64, [64], 7)])
def test_what_does_not_fit(width: int, widths: list[int], rank: int) -> None:
    case = Case(width, widths, [(rank, 1, 16)])
    assert not thin.fits_tiles(case.table(), case.x_ND, widths)
    assert thin.fits_tiles(Case(64, [32], [(8, 1, 16)]).table(), torch.zeros(16, 64).bfloat16(), [32])


def test_want_of_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(32, [32])
    table, weights = case.table(), [native.tiles(case.weights[0], 1)]
    _, h = case.forward([None])

    class Full:
        def __getattr__(self, name: str) -> object:
            return lambda *what: 0

    monkeypatch.setattr(native, "machine_code", Full)
    with pytest.raises(MemoryError, match="no room"):
        thin.linear(case.x_ND, table, weights, [None], SCALE)
    with pytest.raises(MemoryError, match="no room"):
        thin.linear_backward(case.x_ND, table, h, case.grads, weights, SCALE)
