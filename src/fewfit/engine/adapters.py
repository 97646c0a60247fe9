"""LoRA adapters of many lanes over one stock model, forward and backward; `rowmap.py` says whose rows are whose.

The model's linear layers get a forward of ours and keep everything else, so names, tied weights and quantised layers
stay as they are. One product with the frozen weight serves all rows of the pass; each lane then adds its own B·A·x to
its own rows, in place (in bf16 by tiles within the product). Adapters are no autograd leaves: the backward writes their
gradients straight into a flat buffer of the lane, beside the flat weights and the flat optimizer state, so a lane is a
few vectors and an update one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fewfit.engine import products, thin
from fewfit.engine.products import Frozen
from fewfit.engine.rowmap import Adapter, Pass, Piece, Pieces, Shape, Siblings, width_in_out

SCALE = 2.0  # alpha is 2r for every lane


class Wrapped:
    """The model with our forwards in its linear layers. `closing` gives it back as it came."""

    def __init__(self, model: Any, names: Sequence[str]):
        self.model = model
        self.now: Pass | None = None
        self.blocks: list[Any] = []  # layers that blocks.py runs, in their order
        device = next(model.parameters()).device
        # Makes outputs of the first adapted layer carry a graph, though its input does not.
        self.anchor = torch.zeros((), device=device, requires_grad=True)
        modules = dict(model.named_modules())
        tiled = products.copied_bytes(model) > 0
        self.groups = sibling_groups(model, {name: modules[name] for name in names}, tiled)
        self._before: list[tuple[nn.Module, Any]] = []
        for group in self.groups:
            for index, module in enumerate(group.modules):
                self.patch(module, self._forward(group, index, module.forward))
        head = model.get_output_embeddings()
        if is_plain(head):
            last = Frozen([head], tiled)
            self.patch(head, lambda x: Head.apply(x, last) if self.now is not None else type(head).forward(head, x))

    def patch(self, module: nn.Module, forward: Any) -> None:
        self._before.append((module, module.__dict__.get("forward")))
        module.forward = forward

    def close(self) -> None:
        for module, before in reversed(self._before):
            if before is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = before
        self._before.clear()
        self.now = None

    @contextmanager
    def using(self, adapters_B: Sequence[Adapter | None], shapes_B: Sequence[Shape] | None = None) -> Iterator[Pass]:
        kept, self.now = self.now, Pass(adapters_B, self.model.dtype, shapes_B)
        try:
            yield self.now
        finally:
            self.now.stash = None
            self.now = kept

    def _forward(self, group: Siblings, index: int, original: Any) -> Any:
        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            now = self.now
            if now is not None and group not in now.touched and group.fast and group.frozen.tiled(x):
                # Whoever else is in the pass may adapt this layer: rows are rounded alike with and without.
                return Untouched.apply(x, group, index)
            if now is None or group not in now.touched:
                return original(x, *args, **kwargs)
            if not group.fast:
                return Added.apply(original(x, *args, **kwargs), x, self.anchor, group, index, now)
            if now.stash is not None and now.stash[0] is x and index in now.stash[1]:
                out = now.stash[1].pop(index)
                if not now.stash[1]:
                    now.stash = None
                return out
            members = tuple(range(len(group.modules))) if index == 0 else (index,)
            outs = Together.apply(x, self.anchor, group, members, now)
            if len(members) > 1:
                now.stash = (x, dict(zip(members[1:], outs[1:], strict=True)))
            return outs[0]

        return forward


class Untouched(torch.autograd.Function):
    """Frozen product of a layer that no row of the pass adapts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Siblings, index: int) -> Tensor:
        ctx.group, ctx.index = group, index
        (out_NO,) = group.frozen.times(x.reshape(-1, x.shape[-1]), (index,))
        return out_NO.view(*x.shape[:-1], out_NO.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        gx_ND = ctx.group.frozen.back([grad.reshape(-1, grad.shape[-1])], (ctx.index,))
        return gx_ND.view(*grad.shape[:-1], gx_ND.shape[-1]), None, None


class Together(torch.autograd.Function):
    """Frozen product and adapters of sibling layers, on all rows of a pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, group: Siblings, members: tuple[int, ...], now: Pass) -> Any:
        x_ND = x.reshape(-1, x.shape[-1])
        outs = group.frozen.times(x_ND, members)
        pieces = now.pieces(group, len(x_ND))
        hidden = add_adapters(outs, x_ND, pieces, group, members)
        ctx.group, ctx.members, ctx.pieces = group, members, pieces
        ctx.save_for_backward(x, *hidden)
        return tuple(out.view(*x.shape[:-1], out.shape[-1]) for out in outs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, *hidden = ctx.saved_tensors
        group, members = ctx.group, ctx.members
        x_ND = x.reshape(-1, x.shape[-1])
        grads_NO = [grad.reshape(-1, grad.shape[-1]) for grad in grads]
        gx_ND = None
        if ctx.needs_input_grad[0]:
            gx_ND = group.frozen.back(grads_NO, members)
        adapters_backward(grads_NO, x_ND, hidden, ctx.pieces, group, members, gx_ND)
        return None if gx_ND is None else gx_ND.view(x.shape), None, None, None, None


class Added(torch.autograd.Function):
    """Adapters only, added to what the layer's own forward gave (quantised, sharded and offloaded layers)."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, anchor: Tensor, group: Siblings, index: int, now: Pass) -> Any:
        x_ND = x.reshape(-1, x.shape[-1])
        out_NO = y.reshape(-1, y.shape[-1]).clone(memory_format=torch.contiguous_format)
        pieces = now.pieces(group, len(x_ND))
        hidden = add_adapters([out_NO], x_ND, pieces, group, (index,))
        ctx.group, ctx.index, ctx.pieces = group, index, pieces
        ctx.save_for_backward(x, *hidden)
        return out_NO.view(y.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, *hidden = ctx.saved_tensors
        x_ND, grad_NO = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        gx_ND = torch.zeros_like(x_ND) if ctx.needs_input_grad[1] else None
        adapters_backward([grad_NO], x_ND, hidden, ctx.pieces, ctx.group, (ctx.index,), gx_ND)
        return grad, None if gx_ND is None else gx_ND.view(x.shape), None, None, None, None


class Head(torch.autograd.Function):
    """The output head in even chunks: how many rows share torch's product decides its rounding, and must not.

    Seen with MKL on one thread: rows are rounded alike from 16 rows on, but for the long sums of the head's backward,
    which are alike from 2 to 191 rows and again from 192 on.
    """

    CHUNK, LEAST = 128, 16

    @staticmethod
    def forward(ctx: Any, x: Tensor, head: Frozen) -> Tensor:
        ctx.head, ctx.shape = head, x.shape
        x_ND = x.reshape(-1, x.shape[-1])
        out_NV = head.times(x_ND)[0] if head.tiled(x_ND) else Head.chunked(x_ND, lambda part_ND: head.times(part_ND)[0])
        return out_NV.view(*x.shape[:-1], out_NV.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad_NV, head = grad.reshape(-1, grad.shape[-1]), ctx.head
        tiled = head.tiled(grad_NV)
        gx_ND = head.back([grad_NV]) if tiled else Head.chunked(grad_NV, lambda part_NV: head.back([part_NV]))
        return gx_ND.view(ctx.shape), None

    @staticmethod
    def chunked(rows: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
        if rows.device.type != "cpu":
            return product(rows)
        outs = []
        for part in rows.split(Head.CHUNK):
            short = Head.LEAST - len(part)
            padded = torch.cat([part, part.new_zeros(short, part.shape[1])]) if short > 0 else part
            outs.append(product(padded)[: len(part)])
        return outs[0] if len(outs) == 1 else torch.cat(outs)


def add_adapters(
    outs: list[Tensor], x_ND: Tensor, pieces: Pieces, group: Siblings, members: tuple[int, ...]
) -> list[Tensor]:
    """Adds B·A·x to every bundle's rows of each output; returns A·x for the backward, of all bundles (by thin.py, and
    then flat) or of each."""
    if not pieces:
        return []
    if pieces.native(x_ND, *outs):
        return [thin.adapters(x_ND, table_of(pieces, group, members), outs, SCALE)]
    return [add_bundle(outs, x_ND, piece, group, members) for piece in pieces]


def table_of(pieces: Pieces, group: Siblings, members: tuple[int, ...]) -> thin.Table:
    table = pieces.tables.get(members)
    if table is None:
        shares = [
            thin.Share(bundle.weights.flat_GP, bundle.rank, bundle.layout.at(group, members), s, e)
            for bundle, s, e in pieces
        ]
        table = pieces.tables[members] = thin.Table.of(shares)
    return table


def in_one(
    x_ND: Tensor, pieces: Pieces, group: Siblings, onto_NO: Tensor | None = None, gate: bool = False
) -> tuple[list[Tensor], Tensor] | None:
    """Frozen products and adapters together, and A·x, where `c/lanes.c` can; with `gate`, also what comes through.
    Rounded once: for passes that train, since predictions alone round where the library's do."""
    if x_ND.dtype != torch.bfloat16 or not pieces or not group.frozen.tiled(x_ND) or not pieces.native(x_ND, onto_NO):
        return None
    members = tuple(range(len(group.modules)))
    table, weights = table_of(pieces, group, members), group.frozen.copies(turned=False)
    biases: list[Any] = [module.bias for module in group.modules]
    if not thin.fits_tiles(table, x_ND, [one.outs for one in weights]) or (
        onto_NO is not None and biases[0] is not None
    ):
        return None
    return thin.linear(x_ND, table, weights, biases if onto_NO is None else [onto_NO], SCALE, gate)


def add_bundle(outs: list[Tensor], x_ND: Tensor, piece: Piece, group: Siblings, members: tuple[int, ...]) -> Tensor:
    bundle, s, e = piece
    a_GKD, b = bundle.weights.of[group]
    lanes, rank = len(a_GKD), bundle.rank
    if len(members) != len(group.modules):
        a_GKD = a_GKD[:, members[0] * rank : (members[0] + 1) * rank]
    h_GnK = torch.bmm(x_ND[s:e].view(lanes, -1, x_ND.shape[1]), a_GKD.mT)
    for place, (m, out_NO) in enumerate(zip(members, outs, strict=True)):
        part_GnR = h_GnK[..., place * rank : (place + 1) * rank]
        out_NO[s:e].view(lanes, -1, out_NO.shape[1]).baddbmm_(part_GnR, b[m].mT, alpha=SCALE)
    return h_GnK


def adapters_backward(
    grads_NO: Sequence[Tensor],
    x_ND: Tensor,
    hidden: list[Tensor],
    pieces: Pieces,
    group: Siblings,
    members: tuple[int, ...],
    gx_ND: Tensor | None,
) -> None:
    """Gradients of the bundles' A's and B's into their buffers, and of their rows of x, added to what stands there."""
    if not pieces:
        return
    if hidden[0].dim() == 1:
        thin.adapters_backward(x_ND, gradient_table(pieces, group, members), hidden[0], grads_NO, SCALE, gx_ND)
    else:
        for piece, h_GnK in zip(pieces, hidden, strict=True):
            bundle_backward(grads_NO, x_ND, h_GnK, piece, group, members, gx_ND)
    if members[-1] == len(group.modules) - 1:
        wrote(pieces, group)


def in_one_backward(
    grads_NO: Sequence[Tensor],
    x_ND: Tensor,
    hidden: list[Tensor],
    pieces: Pieces,
    group: Siblings,
    gates: Sequence[Tensor] = (),
) -> Tensor | None:
    """All gradients together; returns that of x, or None where `c/lanes.c` cannot. With `gates`, from the gradient of
    what came through."""
    if x_ND.dtype != torch.bfloat16 or not hidden or hidden[0].dim() != 1:
        return None
    if not all(group.frozen.tiled(grad_NO) for grad_NO in grads_NO):
        return None
    members = tuple(range(len(group.modules)))
    table, weights = gradient_table(pieces, group, members), group.frozen.copies(turned=True)
    if not thin.fits_tiles(table, x_ND, [width_in_out(module)[1] for module in group.modules]):
        return None
    gx_ND = thin.linear_backward(x_ND, table, hidden[0], grads_NO, weights, SCALE, gates)
    wrote(pieces, group)
    return gx_ND


def gradient_table(pieces: Pieces, group: Siblings, members: tuple[int, ...]) -> thin.Table:
    shares = []
    for bundle, s, e in pieces:
        into, at = bundle.gradients, bundle.layout.at(group, members)
        flat_GP = None if into is None else into.flat_GP
        fresh = into is not None and group not in into.written
        shares.append(thin.Share(bundle.weights.flat_GP, bundle.rank, at, s, e, flat_GP, fresh))
    return thin.Table.of(shares)


def wrote(pieces: Pieces, group: Siblings) -> None:
    for bundle, _, _ in pieces:
        if bundle.gradients is not None:
            bundle.gradients.written.add(group)


def bundle_backward(
    grads_NO: Sequence[Tensor],
    x_ND: Tensor,
    h_GnK: Tensor,
    piece: Piece,
    group: Siblings,
    members: tuple[int, ...],
    gx_ND: Tensor | None,
) -> None:
    bundle, s, e = piece
    into = bundle.gradients
    fresh = into is not None and group not in into.written
    a_GKD, b = bundle.weights.of[group]
    lanes, rank = len(a_GKD), bundle.rank
    gh_GnK = torch.empty_like(h_GnK)
    for place, (m, grad_NO) in enumerate(zip(members, grads_NO, strict=True)):
        part = slice(place * rank, (place + 1) * rank)
        grad_GnO = grad_NO[s:e].view(lanes, -1, grad_NO.shape[1])
        gh_GnK[..., part].copy_(torch.bmm(grad_GnO, b[m]))
        if into is not None:
            add_product(into.of[group][1][m], grad_GnO.mT, h_GnK[..., part], fresh)
    rows = slice(members[0] * rank, members[0] * rank + gh_GnK.shape[2])
    if into is not None:
        add_product(into.of[group][0][:, rows], gh_GnK.mT, x_ND[s:e].view(lanes, -1, x_ND.shape[1]), fresh)
    if gx_ND is not None:
        gx_ND[s:e].view(lanes, -1, gx_ND.shape[1]).baddbmm_(gh_GnK, a_GKD[:, rows], alpha=SCALE)


def add_product(into: Tensor, left: Tensor, right: Tensor, fresh: bool) -> None:
    if into.dtype == left.dtype:
        into.baddbmm_(left, right, beta=0.0 if fresh else 1.0, alpha=SCALE)
        return
    # Gradients stay in fp32 where products are in less; the thin side on the left needs no copy of the other.
    product = torch.bmm(right.mT, left.mT).mT if right.shape[2] < left.shape[1] else torch.bmm(left, right)
    if fresh:
        into.copy_(product).mul_(SCALE)
    else:
        into.add_(product, alpha=SCALE)


def is_plain(module: nn.Module) -> bool:
    """Exactly nn.Linear or Conv1D, with a plain weight and nobody's hooks on its forward."""
    return (
        type(module) in (nn.Linear, Conv1D)
        and type(module.weight) is nn.Parameter
        and module.weight.is_floating_point()
        and "forward" not in module.__dict__
        and not module._forward_hooks
        and not module._forward_pre_hooks
    )


def sibling_groups(model: Any, modules: dict[str, nn.Module], tiled: bool) -> list[Siblings]:
    """Which layers see the very same tensor, found by running two tokens: no knowledge of architectures."""
    calls: list[tuple[str, Any]] = []
    plain = {name: is_plain(module) for name, module in modules.items()}
    hooks = [
        module.register_forward_pre_hook(lambda _m, args, name=name: calls.append((name, args[0] if args else None)))
        for name, module in modules.items()
    ]
    try:
        with torch.no_grad():
            model(
                input_ids=torch.zeros(1, 2, dtype=torch.long, device=next(model.parameters()).device), use_cache=False
            )
    finally:
        for hook in hooks:
            hook.remove()
    runs: list[list[str]] = []
    last: Any = None
    for name, x in calls:
        joins = bool(runs) and x is not None and x is last and plain[name] and plain[runs[-1][0]]
        if joins:
            runs[-1].append(name)
        else:
            runs.append([name])
        last = x
    seen: set[str] = set()
    groups = []
    for run in runs:
        names = tuple(name for name in dict.fromkeys(run) if name not in seen)
        seen.update(names)
        if names:
            some = tuple(modules[name] for name in names)
            groups.append(Siblings(names, some, all(plain[name] for name in names), Frozen(some, tiled)))
    # A layer that two tokens did not reach stands alone.
    groups += [Siblings((n,), (m,), plain[n], Frozen((m,), tiled)) for n, m in modules.items() if n not in seen]
    return groups
