"""Adapters of a pass in one call (`c/thin.c`), in bf16 by tiles where there are some (`c/lanes.c`).

By tiles a lane's adapters can go into the frozen product itself: its rows are read and written once, while they are
near, and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fewfit.engine import native
from fewfit.engine.native import Pointer, Tiles, described, enough

WHOLE = 32  # rows as wide as a multiple of this are whole tiles


class Share(NamedTuple):
    """Lanes alike and next to each other in a pass: their vectors, where the group's matrices begin in them, and their
    tokens of the pass, in equal shares. With `into_GP` gradients are wanted, over what stands there if `fresh`."""

    flat_GP: Tensor
    rank: int
    at: tuple[int, Sequence[int]]  # A of all siblings, B of each
    start: int
    end: int
    into_GP: Tensor | None = None
    fresh: bool = True

    def numbers(self) -> list[int]:
        """As c/table.h wants them."""
        lanes, into = len(self.flat_GP), self.into_GP
        return [
            self.start, self.flat_GP.data_ptr(), self.flat_GP.stride(0), lanes, (self.end - self.start) // lanes,
            self.rank, 0 if into is None else into.data_ptr(), 0 if into is None else into.stride(0), self.fresh,
            self.at[0], *self.at[1],
        ]  # fmt: skip


class Table(NamedTuple):
    """Shares as the compiled code reads them."""

    numbers: Any
    shares: int
    thin: int  # numbers of A·x for each output
    even: bool  # all ranks are

    @classmethod
    def of(cls, shares: Sequence[Share]) -> Table:
        thin = sum((one.end - one.start) * one.rank for one in shares)
        even = all(one.rank % 2 == 0 for one in shares)
        return cls(native.numbers([n for one in shares for n in one.numbers()]), len(shares), thin, even)


def fits_tiles(table: Table, x_ND: Tensor, widths: Sequence[int]) -> bool:
    """Of all shares together: an odd rank in a pass leaves every lane of it to the loops of thin.c."""
    whole = all(width % WHOLE == 0 for width in (x_ND.shape[1], *widths))
    return whole and table.even and x_ND.dtype == torch.bfloat16 and native.has_tiles()


def adapters(x_ND: Tensor, table: Table, outs: Sequence[Tensor], scale: float) -> Tensor:
    """Adds B·A·x to the lanes' rows of every output; returns A·x, lane after lane."""
    h = x_ND.new_empty(len(outs) * table.thin, dtype=torch.float32)
    x = x_ND.data_ptr(), x_ND.stride(0), x_ND.shape[1]
    rest = len(outs), h.data_ptr(), *described(outs), scale
    if fits_tiles(table, x_ND, [out.shape[1] for out in outs]):
        enough(native.machine_code().lanes_forward(*table[:2], len(x_ND), *x, *rest, None, None, None, None))
    else:
        enough(native.machine_code().adapters_all(*table[:2], *x, x_ND.dtype != torch.float32, *rest))
    return h


def adapters_backward(
    x_ND: Tensor, table: Table, h: Tensor, grads: Sequence[Tensor], scale: float, gx_ND: Tensor | None
) -> None:
    """Gradients of A and B into the lanes' vectors, and of x added to `gx_ND`."""
    # Autograd may hand over a spread number.
    grads = [grad if grad.stride(1) == 1 else grad.contiguous() for grad in grads]
    x = x_ND.data_ptr(), x_ND.stride(0), x_ND.shape[1]
    rest = len(grads), h.data_ptr(), *described(grads), scale, *placed(gx_ND)
    if fits_tiles(table, x_ND, [grad.shape[1] for grad in grads]):
        enough(native.machine_code().lanes_backward(*table[:2], len(x_ND), *x, *rest, None, None))
    else:
        enough(native.machine_code().adapters_all_backward(*table[:2], *x, x_ND.dtype != torch.float32, *rest))


def linear(
    x_ND: Tensor,
    table: Table,
    weights: Sequence[Tiles],
    under: Sequence[Tensor | None],
    scale: float,
    gate: bool = False,
) -> tuple[list[Tensor], Tensor]:
    """Frozen products and adapters of all rows on top of what is `under` them (rows, or one row for all); and A·x.
    If the first output is the second's gate, what comes through is a third. Shares stand in the order of their rows."""
    outs = [x_ND.new_empty(len(x_ND), one.outs) for one in weights]
    h = x_ND.new_empty(len(outs) * table.thin, dtype=torch.float32)
    through = [outs[0].new_empty(outs[0].shape)] if gate else []
    under = [one if one is None or one.stride(-1) == 1 else one.contiguous() for one in under]
    done = native.machine_code().lanes_forward(
        *table[:2], len(x_ND), x_ND.data_ptr(), x_ND.stride(0), x_ND.shape[1], len(outs), h.data_ptr(),
        *described(outs), scale, packs(weights),
        (Pointer * len(under))(*[None if one is None else one.data_ptr() for one in under]),
        native.numbers([0 if one is None or one.dim() == 1 else one.stride(0) for one in under]),
        through[0].data_ptr() if gate else None,
    )  # fmt: skip
    enough(done)
    return outs + through, h


def linear_backward(
    x_ND: Tensor, table: Table, h: Tensor, grads: Sequence[Tensor], weights: Sequence[Tiles], scale: float,
    gates: Sequence[Tensor] = (),
) -> Tensor:  # fmt: skip
    """Gradients of A and B into the lanes' vectors; returns that of x, from the turned weights and the adapters. With
    `gates`, the outputs of a gate and of what it lets through, from the gradient of what came through, over which it
    writes if that is dense."""
    grads = [grad.contiguous() if gates or grad.stride(1) != 1 else grad for grad in grads]
    gates = [one.contiguous() for one in gates]
    gx_ND = x_ND.new_empty(x_ND.shape)
    done = native.machine_code().lanes_backward(
        *table[:2], len(x_ND), x_ND.data_ptr(), x_ND.stride(0), x_ND.shape[1], len(weights), h.data_ptr(),
        *described([*grads, *grads] if gates else grads), scale, *placed(gx_ND), packs(weights),
        (Pointer * 2)(*[one.data_ptr() for one in gates]) if gates else None,
    )  # fmt: skip
    enough(done)
    return gx_ND


def packs(weights: Sequence[Tiles]) -> Any:
    return (Pointer * len(weights))(*[one.pack.data_ptr() for one in weights])


def placed(some: Tensor | None) -> tuple[int | None, int]:
    return (None, 0) if some is None else (some.data_ptr(), some.stride(0))
