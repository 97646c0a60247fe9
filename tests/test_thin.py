"""Adapters of lanes as compiled thin products: equal to the same in fp64, each lane by itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fewfit.engine import native, thin

SCALE = 2.0
CLOSE = {torch.float32: 2e-5, torch.bfloat16: 2.0**-7}


@pytest.fixture(autouse=True, params=["loops", "tiles"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    if native.machine_code() is None:
        pytest.skip("no C compiler here")
    if request.param == "tiles" and not native.has_tiles():
        pytest.skip("no tiles here")
    if request.param == "loops":
        monkeypatch.setattr(native, "has_tiles", lambda: False)


class Case:
    """Lanes side by side that adapt siblings of some widths, the input's and the outputs' rows farther apart than they
    are wide."""

    def __init__(self, width: int, widths: Sequence[int], rank: int, lanes: int, tokens: int, dtype: torch.dtype):
        generator = torch.Generator().manual_seed(width + rank)

        def some(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(dtype)

        self.rank, self.lanes, self.widths, self.width = rank, lanes, widths, width
        self.b = [3 + rank * (len(widths) * width + sum(widths[:m])) for m in range(len(widths))]
        self.flat_GP = some(lanes, self.b[-1] + rank * widths[-1] + 5) / rank
        self.x_ND = some(lanes * tokens, width + 3)[:, :width]
        self.outs = [some(lanes * tokens, wide + 2)[:, :wide] for wide in widths]
        self.grads = [some(lanes * tokens, wide + 1)[:, :wide] for wide in widths]
        self.gx_ND = some(lanes * tokens, width)
        self.at = (3, self.b)

    def matrices(self, flat_GP: Tensor) -> tuple[Tensor, list[Tensor]]:
        rows = len(self.widths) * self.rank
        a_GKD = flat_GP[:, 3 : 3 + rows * self.width].view(self.lanes, rows, self.width)
        b = [
            flat_GP[:, at : at + wide * self.rank].view(self.lanes, wide, self.rank)
            for at, wide in zip(self.b, self.widths, strict=True)
        ]
        return a_GKD, b

    def exact(self) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """A·x, outputs, gradients of the lanes' vectors and of x; all in fp64, by autograd."""
        flat_GP, x_ND = self.flat_GP.double().requires_grad_(), self.x_ND.double().requires_grad_()
        a_GKD, b = self.matrices(flat_GP)
        h_GnK = x_ND.view(self.lanes, -1, self.width) @ a_GKD.mT
        added = [
            SCALE * (h_GnK[..., m * self.rank : (m + 1) * self.rank] @ b_GOR.mT).flatten(0, 1)
            for m, b_GOR in enumerate(b)
        ]
        got = torch.autograd.grad(added, [flat_GP, x_ND], [grad.double() for grad in self.grads])
        outs = [out.double() + more.detach() for out, more in zip(self.outs, added, strict=True)]
        return h_GnK.detach(), outs, got[0], self.gx_ND.double() + got[1]


def forward(case: Case, x_ND: Tensor, flat_GP: Tensor, outs: list[Tensor]) -> Tensor:
    return thin.adapters(x_ND, thin.Table.of([thin.Share(flat_GP, case.rank, case.at, 0, len(x_ND))]), outs, SCALE)


def backward(
    case: Case, x_ND: Tensor, flat_GP: Tensor, h: Tensor, grads: list[Tensor], into_GP: Tensor | None, fresh: bool,
    gx_ND: Tensor | None,
) -> None:  # fmt: skip
    share = thin.Share(flat_GP, case.rank, case.at, 0, len(x_ND), into_GP, fresh)
    thin.adapters_backward(x_ND, thin.Table.of([share]), h, grads, SCALE, gx_ND)


def close(ours: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    torch.testing.assert_close(ours.double(), exact, rtol=CLOSE[dtype], atol=CLOSE[dtype] * float(exact.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("width", "widths", "rank", "lanes", "tokens"),
    [
        (64, [64, 32, 32], 8, 3, 16),
        (37, [51], 5, 2, 19),  # nothing fills a vector
        (48, [80, 80], 16, 1, 25),
        (24, [7, 40, 16], 1, 2, 3),
        (33, [64, 15], 12, 2, 40),
        (96, [32, 160], 6, 2, 70),
        (64, [32, 32, 96], 16, 1, 33),
        (32, [64], 40, 2, 130),
        (32, [32], 2, 2, 1),
    ],
)
def test_equal_to_fp64(width: int, widths: list[int], rank: int, lanes: int, tokens: int, dtype: torch.dtype) -> None:
    """Break seen to fail: the last columns left out; B's gradient not turned; gradients begun anew at every call."""
    case = Case(width, widths, rank, lanes, tokens, dtype)
    exact_h, exact_outs, exact_grad, exact_gx = case.exact()
    h = forward(case, case.x_ND, case.flat_GP, case.outs)
    close(h.view(exact_h.shape), exact_h, torch.float32)  # of the rounded x and A, in fp32
    for ours, exact in zip(case.outs, exact_outs, strict=True):
        close(ours, exact, dtype)

    into_GP = torch.full((lanes, case.flat_GP.shape[1]), float("nan"))
    for times, fresh in ((1, True), (2, False)):
        gx_ND = case.gx_ND.clone()
        backward(case, case.x_ND, case.flat_GP, h, case.grads, into_GP, fresh, gx_ND)
        for ours, exact in zip(
            [*case.matrices(into_GP)[1], case.matrices(into_GP)[0]],
            [*case.matrices(exact_grad)[1], case.matrices(exact_grad)[0]],
            strict=True,
        ):
            close(ours, times * exact, dtype)
        close(gx_ND, exact_gx, dtype)
    assert into_GP[:, :3].isnan().all() and into_GP[:, -5:].isnan().all()  # what is nobody's is left alone


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("width", "widths"), [(48, [40, 24]), (64, [96, 32])])
def test_a_lane_is_the_same_beside_any_other(width: int, widths: list[int], dtype: torch.dtype) -> None:
    """To the bit, and beside NaN."""
    case = Case(width, widths, 8, 3, 21, dtype)
    case.flat_GP[1] = float("nan")

    def run(of: slice) -> list[Tensor]:
        rows = slice(of.start * 21, of.stop * 21)
        outs = [out[rows].clone() for out in case.outs]
        x_ND, flat_GP, gx_ND = case.x_ND[rows], case.flat_GP[of], case.gx_ND[rows].clone()
        h = forward(case, x_ND, flat_GP, outs)
        into_GP = torch.zeros(flat_GP.shape)
        grads = [grad[rows] for grad in case.grads]
        backward(case, x_ND, flat_GP, h, grads, into_GP, True, gx_ND)
        return [*outs, into_GP, gx_ND]

    together = run(slice(0, 3))
    for lane in (0, 2):
        for whole, alone in zip(together, run(slice(lane, lane + 1)), strict=True):
            each = len(whole) // 3
            assert torch.equal(whole[lane * each : (lane + 1) * each], alone)
            assert not alone.isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("width", "widths", "rank"), [(40, [24, 56], 9), (64, [32, 96], 10)])
def test_shares_of_several_ranks_are_each_as_if_alone(
    width: int, widths: list[int], rank: int, dtype: torch.dtype
) -> None:
    """In one call, with rows of nobody between them. Break seen to fail: A·x of the second share written over the
    first's; outputs not moved on to a share's rows."""
    cases = [Case(width, widths, 4, 2, 11, dtype), Case(width, widths, rank, 1, 30, dtype)]
    x_ND = torch.cat([cases[0].x_ND, cases[0].x_ND[:5], cases[1].x_ND])
    grads = [torch.cat([one, one[:5], other]) for one, other in zip(cases[0].grads, cases[1].grads, strict=True)]
    outs, gx_ND = [torch.zeros_like(grad) for grad in grads], torch.zeros(57, width, dtype=dtype)
    into = [torch.zeros(case.flat_GP.shape) for case in cases]
    shares = [
        thin.Share(case.flat_GP, case.rank, case.at, start, start + len(case.x_ND), into_GP)
        for case, start, into_GP in zip(cases, (0, 27), into, strict=True)
    ]
    table = thin.Table.of(shares)
    h = thin.adapters(x_ND, table, outs, SCALE)
    thin.adapters_backward(x_ND, table, h, grads, SCALE, gx_ND)
    for case, share, into_GP in zip(cases, shares, into, strict=True):
        alone = [torch.zeros_like(grad) for grad in case.grads]
        h_alone = forward(case, case.x_ND, case.flat_GP, alone)
        gx_alone, into_alone = torch.zeros(len(case.x_ND), width, dtype=dtype), torch.zeros(case.flat_GP.shape)
        backward(case, case.x_ND, case.flat_GP, h_alone, case.grads, into_alone, True, gx_alone)
        rows = slice(share.start, share.end)
        assert all(torch.equal(out[rows], one) for out, one in zip(outs, alone, strict=True))
        assert torch.equal(gx_ND[rows], gx_alone) and torch.equal(into_GP, into_alone) and bool(into_GP.any())
    assert not gx_ND[22:27].any() and not outs[0][22:27].any()


def test_nothing_where_nothing_is_wanted() -> None:
    """Lanes that only predict have no gradients, the lowest layer no gradient of its input."""
    case = Case(32, [32], 8, 2, 16, torch.float32)
    h = forward(case, case.x_ND, case.flat_GP, case.outs)
    gx_ND = case.gx_ND.clone()
    backward(case, case.x_ND, case.flat_GP, h, case.grads, None, False, gx_ND)
    close(gx_ND, case.exact()[3], torch.float32)
    into_GP = torch.zeros(case.flat_GP.shape)
    backward(case, case.x_ND, case.flat_GP, h, case.grads, into_GP, True, None)
    close(case.matrices(into_GP)[0], case.matrices(case.exact()[2])[0], torch.float32)


def test_want_of_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: what the functions give back not looked at."""
    case = Case(32, [32], 8, 2, 16, torch.float32)

    class Full:
        def __getattr__(self, name: str) -> object:
            return lambda *what: 0

    monkeypatch.setattr(native, "machine_code", Full)
    with pytest.raises(MemoryError, match="no room"):
        forward(case, case.x_ND, case.flat_GP, case.outs)


def test_whatever_the_caller_has_made_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: A·x in the default dtype, of which C would write twice the bytes."""
    case = Case(32, [32], 8, 2, 16, torch.float32)
    torch.set_default_dtype(torch.bfloat16)
    try:
        h = forward(case, case.x_ND, case.flat_GP, case.outs)
    finally:
        torch.set_default_dtype(torch.float32)
    assert h.dtype == torch.float32
    close(h.view(2, 16, 8), case.exact()[0], torch.float32)
