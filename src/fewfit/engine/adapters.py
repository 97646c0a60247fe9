"""LoRA adapters of many lanes over one stock model: which rows of a pass meet which lane's matrices.

The model's linear layers get a forward of ours and keep everything else, so names, tied weights and quantised layers
stay as they are. One product with the frozen weight serves all rows of the pass; each lane then adds its own B·A·x to
its own rows, in place. Adapters are no autograd leaves: the backward writes their gradients straight into a flat buffer
of the lane, beside the flat weights and the flat optimizer state, so a lane is a few vectors and an update one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fewfit.engine import native
from fewfit.engine.plain import initial_a

SCALE = 2.0  # alpha is 2r for every lane


@dataclass(frozen=True, eq=False)
class Siblings:
    """Linear layers that see the same input (q, k and v; gate and up): their A's are one product."""

    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]
    fast: bool  # plain weights, so that the frozen product may be ours

    @property
    def width(self) -> int:
        return width_in_out(self.modules[0])[0]


@dataclass(frozen=True, eq=False)
class Place:
    """Where one sibling group's matrices stand in a lane's vector: A_(kR)D of all siblings, then each one's B_OR."""

    a: int
    b: tuple[int, ...]


class Layout:
    """How the adapters of one choice of modules and one rank lie in a vector."""

    def __init__(self, groups: Sequence[Siblings], names: Sequence[str], rank: int):
        wanted = set(names)
        self.rank = rank
        self.groups = [group for group in groups if group.names[0] in wanted]
        self.places: dict[Siblings, Place] = {}
        by_module: dict[str, tuple[int, tuple[int, int], int, tuple[int, int]]] = {}
        offset = 0
        for group in self.groups:
            width, start = group.width, offset
            offset += len(group.names) * rank * width
            b = []
            for index, (name, module) in enumerate(zip(group.names, group.modules, strict=True)):
                out = width_in_out(module)[1]
                by_module[name] = (start + index * rank * width, (rank, width), offset, (out, rank))
                b.append(offset)
                offset += out * rank
            self.places[group] = Place(start, tuple(b))
        self.size = offset
        # PEFT's names in PEFT's order: the record of a lane is the same for every engine.
        self.parameters: dict[str, tuple[int, tuple[int, int]]] = {}
        for name in names:
            a_at, a_shape, b_at, b_shape = by_module[name]
            self.parameters[f"base_model.model.{name}.lora_A.default.weight"] = (a_at, a_shape)
            self.parameters[f"base_model.model.{name}.lora_B.default.weight"] = (b_at, b_shape)
        self.modules = tuple(names)

    def at(self, group: Siblings, members: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Where the A's of these siblings begin in a lane's vector, and the B of each."""
        place = self.places[group]
        return place.a + members[0] * self.rank * group.width, tuple(place.b[m] for m in members)

    def view(self, flat_P: Tensor, name: str) -> Tensor:
        at, shape = self.parameters[name]
        return flat_P[at : at + shape[0] * shape[1]].view(shape)

    def fresh(self, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A as the one-lane learner draws it, B zero: no effect on the model."""
        flat_P = torch.zeros(self.size, dtype=dtype)
        for name in self.modules:
            a_RD = self.view(flat_P, f"base_model.model.{name}.lora_A.default.weight")
            a_RD.copy_(initial_a(seed, name, tuple(a_RD.shape)))
        return flat_P.to(device)


class Matrices:
    """Vectors of several lanes seen as matrices: for each sibling group A_G(kR)D and a list of B_GOR."""

    def __init__(self, layout: Layout, flat_GP: Tensor):
        self.flat_GP = flat_GP
        self.written: set[Siblings] = set()  # of gradients: the groups that hold anything yet
        self.of: dict[Siblings, tuple[Tensor, list[Tensor]]] = {}
        rank, lanes = layout.rank, len(flat_GP)
        for group, place in layout.places.items():
            rows, width = len(group.names) * rank, group.width
            a_GKD = flat_GP[:, place.a : place.a + rows * width].view(lanes, rows, width)
            b = []
            for module, at in zip(group.modules, place.b, strict=True):
                out = width_in_out(module)[1]
                b.append(flat_GP[:, at : at + out * rank].view(lanes, out, rank))
            self.of[group] = (a_GKD, b)

    def finish(self) -> None:
        """Groups that the backward did not reach have no gradient."""
        for group in self.of.keys() - self.written:
            a_GKD, b = self.of[group]
            for part in (a_GKD, *b):
                part.zero_()


class Adapter:
    """One lane's matrices."""

    def __init__(self, layout: Layout, weight_P: Tensor):
        self.layout, self.weight_P = layout, weight_P


class Bundle:
    """Lanes next to each other in a pass, alike in layout and rows: their adapters are batched products."""

    def __init__(self, adapters: Sequence[Adapter], compute: torch.dtype):
        self.adapters = list(adapters)
        self.layout = adapters[0].layout
        self.rank = self.layout.rank
        self.weights = Matrices(self.layout, torch.stack([one.weight_P for one in adapters]).to(compute))
        self.gradients: Matrices | None = None
        self._native = native.serves_adapters(self.weights.flat_GP)

    def native(self, *some: Tensor | None) -> bool:
        return self._native and all(one is None or native.readable(one, self.weights.flat_GP) for one in some)

    def collect(self) -> None:
        """From now on a backward writes gradients."""
        like = self.adapters[0].weight_P
        self.gradients = Matrices(self.layout, like.new_empty(len(self.adapters), self.layout.size))


Piece = tuple[Bundle, int, int]  # lanes, and the tokens of the flattened input that are theirs, in equal shares


class Shape(NamedTuple):
    """Of one row: its tokens, padding included, and how many places the head is asked for."""

    tokens: int
    places: int


class Segment(NamedTuple):
    """Rows of one length, next to each other: their tokens in the flattened batch, and how long each row is."""

    start: int
    end: int
    length: int


class Pass:
    """The explicit map of one forward: which adapter each row of the batch meets, None for rows without one.

    Rows of unlike lengths stand end to end in a batch of one (`segments`), where every layer is ours and knows it.
    """

    def __init__(
        self, adapters_B: Sequence[Adapter | None], compute: torch.dtype, shapes_B: Sequence[Shape] | None = None
    ):
        self.rows = len(adapters_B)
        self.offsets = [0]  # where each row's tokens begin; no more than the 0 where rows are even
        self.segments: list[Segment] = []
        for shape in shapes_B or ():
            start, end = self.offsets[-1], self.offsets[-1] + shape.tokens
            if self.segments and self.segments[-1].length == shape.tokens:
                start = self.segments.pop().start
            self.segments.append(Segment(start, end, shape.tokens))
            self.offsets.append(end)
        self.packed = len(self.segments) > 1
        runs: list[tuple[Adapter, int, int]] = []  # consecutive rows of one adapter
        for b, adapter in enumerate(adapters_B):
            if adapter is None:
                continue
            if runs and runs[-1][0] is adapter and runs[-1][2] == b:
                runs[-1] = (adapter, runs[-1][1], b + 1)
            else:
                runs.append((adapter, b, b + 1))
        self.runs: list[tuple[Bundle, int, int]] = []
        start = 0
        for end in range(1, len(runs) + 1):
            if end < len(runs) and alike(runs[end - 1], runs[end], shapes_B):
                continue
            bundle = Bundle([one for one, _, _ in runs[start:end]], compute)
            self.runs.append((bundle, runs[start][1], runs[end - 1][2]))
            start = end
        self.touched = {group for bundle, _, _ in self.runs for group in bundle.layout.places}
        self.keeps = False  # whether the cache of this forward only remembers
        self.answers: Tensor | None = None  # places of the flattened batch that the head is asked for, and
        self.starts: list[int] = []  # where each row's places begin among them
        self.shared: Any = None  # which rows were one below the first adapter
        self.trimmed = False  # whether the last layer gave those places only
        self.stash: tuple[Any, dict[int, Tensor]] | None = None

    def pieces(self, group: Siblings, tokens: int) -> list[Piece]:
        if group not in self.touched:
            return []
        if tokens == self.offsets[-1]:
            at = self.offsets
            return [(one, at[s], at[e]) for one, s, e in self.runs if group in one.layout.places]
        each, rest = divmod(tokens, self.rows)
        if rest:
            raise RuntimeError(f"{group.names[0]} saw {tokens} tokens in a pass of {self.rows} rows")
        return [(one, s * each, e * each) for one, s, e in self.runs if group in one.layout.places]

    def even(self) -> bool:
        """Whether the lanes of each bundle ask for equally many places, so that places can be batched too."""
        for bundle, s, e in self.runs:
            each = (e - s) // len(bundle.adapters)
            counts = {self.starts[b + each] - self.starts[b] for b in range(s, e, each)}
            if len(counts) > 1 or 0 in counts:
                return False
        return True

    def answer_pieces(self, group: Siblings) -> list[Piece]:
        return [(one, self.starts[s], self.starts[e]) for one, s, e in self.runs if group in one.layout.places]


def alike(one: tuple[Adapter, int, int], other: tuple[Adapter, int, int], shapes_B: Sequence[Shape] | None) -> bool:
    if shapes_B is not None and shapes_B[one[1] : one[2]] != shapes_B[other[1] : other[2]]:
        return False
    return (
        one[0].layout is other[0].layout
        and one[2] == other[1]
        and one[2] - one[1] == other[2] - other[1]
        and one[0] is not other[0]
    )


class Wrapped:
    """The model with our forwards in its linear layers. `closing` gives it back as it came."""

    def __init__(self, model: Any, names: Sequence[str]):
        self.model = model
        self.now: Pass | None = None
        device = next(model.parameters()).device
        # Makes outputs of the first adapted layer carry a graph, though its input does not.
        self.anchor = torch.zeros((), device=device, requires_grad=True)
        modules = dict(model.named_modules())
        self.groups = sibling_groups(model, {name: modules[name] for name in names})
        self._before: list[tuple[nn.Module, Any]] = []
        for group in self.groups:
            for index, module in enumerate(group.modules):
                self.patch(module, self._forward(group, index, module.forward))
        head = model.get_output_embeddings()
        if is_plain(head):
            self.patch(head, lambda x: Head.apply(x, head) if self.now is not None else type(head).forward(head, x))

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


class Together(torch.autograd.Function):
    """Frozen product and adapters of sibling layers, on all rows of a pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, group: Siblings, members: tuple[int, ...], now: Pass) -> Any:
        x_ND = x.reshape(-1, x.shape[-1])
        outs = [frozen(group.modules[m], x_ND) for m in members]
        pieces = now.pieces(group, len(x_ND))
        hidden = [add_adapters(outs, x_ND, piece, group, members) for piece in pieces]
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
            for m, grad_NO in zip(members, grads_NO, strict=True):
                weight_OD = frozen_weight(group.modules[m])
                gx_ND = torch.mm(grad_NO, weight_OD) if gx_ND is None else gx_ND.addmm_(grad_NO, weight_OD)
        for piece, h_GnK in zip(ctx.pieces, hidden, strict=True):
            adapter_backward(grads_NO, x_ND, h_GnK, piece, group, members, gx_ND)
        return None if gx_ND is None else gx_ND.view(x.shape), None, None, None, None


class Added(torch.autograd.Function):
    """Adapters only, added to what the layer's own forward gave (quantised, sharded and offloaded layers)."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, anchor: Tensor, group: Siblings, index: int, now: Pass) -> Any:
        x_ND = x.reshape(-1, x.shape[-1])
        out_NO = y.reshape(-1, y.shape[-1]).clone(memory_format=torch.contiguous_format)
        pieces = now.pieces(group, len(x_ND))
        hidden = [add_adapters([out_NO], x_ND, piece, group, (index,)) for piece in pieces]
        ctx.group, ctx.index, ctx.pieces = group, index, pieces
        ctx.save_for_backward(x, *hidden)
        return out_NO.view(y.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, *hidden = ctx.saved_tensors
        x_ND, grad_NO = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        gx_ND = torch.zeros_like(x_ND) if ctx.needs_input_grad[1] else None
        for piece, h_GnK in zip(ctx.pieces, hidden, strict=True):
            adapter_backward([grad_NO], x_ND, h_GnK, piece, ctx.group, (ctx.index,), gx_ND)
        return grad, None if gx_ND is None else gx_ND.view(x.shape), None, None, None, None


class Head(torch.autograd.Function):
    """The output head in even chunks: how many rows share a product decides its rounding, and must not.

    Seen with MKL on one thread: rows are rounded alike from 16 rows on, but for the long sums of the head's backward,
    which are alike from 2 to 191 rows and again from 192 on.
    """

    CHUNK, LEAST = 128, 16

    @staticmethod
    def forward(ctx: Any, x: Tensor, head: Any) -> Tensor:
        ctx.head, ctx.shape = head, x.shape
        out_NV = Head.chunked(x.reshape(-1, x.shape[-1]), lambda part_ND: frozen(head, part_ND))
        return out_NV.view(*x.shape[:-1], out_NV.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        weight_VD = frozen_weight(ctx.head)
        return Head.chunked(grad.reshape(-1, grad.shape[-1]), lambda part_NV: part_NV @ weight_VD).view(ctx.shape), None

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


def add_adapters(outs: list[Tensor], x_ND: Tensor, piece: Piece, group: Siblings, members: tuple[int, ...]) -> Tensor:
    """Adds B·A·x to a bundle's rows of each output; returns A·x, which the backward wants."""
    bundle, s, e = piece
    if bundle.native(x_ND, *outs):
        at = bundle.layout.at(group, members)
        own = [out_NO[s:e] for out_NO in outs]
        return native.adapters(x_ND[s:e], bundle.weights.flat_GP, at, bundle.rank, own, SCALE)
    a_GKD, b = bundle.weights.of[group]
    lanes, rank = len(a_GKD), bundle.rank
    if len(members) != len(group.modules):
        a_GKD = a_GKD[:, members[0] * rank : (members[0] + 1) * rank]
    h_GnK = torch.bmm(x_ND[s:e].view(lanes, -1, x_ND.shape[1]), a_GKD.mT)
    for place, (m, out_NO) in enumerate(zip(members, outs, strict=True)):
        part_GnR = h_GnK[..., place * rank : (place + 1) * rank]
        out_NO[s:e].view(lanes, -1, out_NO.shape[1]).baddbmm_(part_GnR, b[m].mT, alpha=SCALE)
    return h_GnK


def adapter_backward(
    grads_NO: Sequence[Tensor],
    x_ND: Tensor,
    h_GnK: Tensor,
    piece: Piece,
    group: Siblings,
    members: tuple[int, ...],
    gx_ND: Tensor | None,
) -> None:
    """Gradients of a bundle's A's and B's into its buffer, and of its rows of x, added to what stands there."""
    bundle, s, e = piece
    into = bundle.gradients
    fresh = into is not None and group not in into.written
    if h_GnK.dtype == torch.float32 and bundle.native(x_ND, gx_ND):
        native.adapters_backward(
            x_ND[s:e],
            bundle.weights.flat_GP,
            bundle.layout.at(group, members),
            bundle.rank,
            h_GnK,
            [grad_NO[s:e] for grad_NO in grads_NO],
            SCALE,
            None if into is None else into.flat_GP,
            fresh,
            None if gx_ND is None else gx_ND[s:e],
        )
        if into is not None and members[-1] == len(group.modules) - 1:
            into.written.add(group)
        return
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
        if members[-1] == len(group.modules) - 1:
            into.written.add(group)
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


def width_in_out(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, Conv1D):
        return int(module.nx), int(module.nf)
    return int(module.in_features), int(module.out_features)  # type: ignore[arg-type]


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


def frozen(module: Any, x_ND: Tensor) -> Tensor:
    if type(module) is Conv1D:
        return torch.addmm(module.bias, x_ND, module.weight)
    return nn.functional.linear(x_ND, module.weight, module.bias)


def frozen_weight(module: Any) -> Tensor:
    """The weight as outputs × inputs."""
    return module.weight.t() if type(module) is Conv1D else module.weight


def sibling_groups(model: Any, modules: dict[str, nn.Module]) -> list[Siblings]:
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
            groups.append(Siblings(names, tuple(modules[name] for name in names), all(plain[name] for name in names)))
    # A layer that two tokens did not reach stands alone.
    groups += [Siblings((n,), (m,), plain[n]) for n, m in modules.items() if n not in seen]
    return groups
