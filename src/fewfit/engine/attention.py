"""Rotary causal attention of a hand-written layer: compiled in fp32 (`c/attention.c`) and, with tiles, in bf16
(`c/attention_tiles.c`); elsewhere torch's own kernel, and in bf16 on a CPU a backward of ours.

That one: torch's backward of the CPU flash kernel takes 13 to 22 ms a layer in bf16 where the same by matrix products
takes 2 to 9: its products do not reach the processor's bf16 units. Ours keeps its forward, bit for bit, and rebuilds
weights from its log-sum-exp. Scores are rounded to bf16 when a product writes them, which is too coarse for an
exponential; so the log-sum-exp goes into the product as two more columns (its upper and its lower bits), and what is
rounded is the logarithm of the weight itself, small wherever the weight is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewfit.engine import native
from fewfit.engine.rowmap import Segment

MORE = 2  # columns beside a head's own
QUERIES = 128  # a block of queries sees no keys behind it
CACHED = 1 << 19  # weights of this many numbers stay in the processor's second cache

Turn = tuple[Tensor, Tensor]  # cosines and sines of the rotary embedding, both batch × token × width of a head


class Kept(NamedTuple):
    """What the backward wants. By torch: the output and the leaves of its graph; by hand: I = batch × key heads."""

    out: Tensor
    heads: tuple[Tensor, ...]
    lse: Tensor | None = None  # None: by torch


class Compiled(NamedTuple):
    """The same where it is compiled: inputs not rotated yet, the output, each query's largest score and share."""

    heads: tuple[Tensor, Tensor, Tensor]
    out_ND: Tensor
    most_NH: Tensor
    share_NH: Tensor
    lines: native.Lines


def by_hand(like: Tensor) -> bool:
    return like.dtype == torch.bfloat16 and like.device.type == "cpu"


def compiled(q_BTHE: Tensor, turn: Turn, train: bool) -> bool:
    """In fp32, predictions too: a row is rounded alike in both. In bf16 predictions alone round as the library's, and
    without tiles torch's products on the units for bf16 are faster."""
    width, dtype = q_BTHE.shape[-1], q_BTHE.dtype
    if not dtype == turn[0].dtype == turn[1].dtype or turn[0].shape[-1] != width:
        return False
    if dtype == torch.bfloat16:
        return train and width % 32 == 0 and native.serves_tiles(q_BTHE)
    return dtype == torch.float32 and width % 16 == 0 and native.serves(q_BTHE)


def attend(
    q_BTHE: Tensor,
    k_BTGE: Tensor,
    v_BTGE: Tensor,
    turn: Turn,
    scaling: float,
    train: bool,
    segments: Sequence[Segment] | None = None,
) -> tuple[Tensor, Any]:
    """Output as (B·T)(H·E), and what the backward wants if there will be one. With `segments` rows stand end to end."""
    if not compiled(q_BTHE, turn, train):
        if segments is None:
            return attend_even(q_BTHE, k_BTGE, v_BTGE, turn, scaling, train)
        return attend_each(q_BTHE, k_BTGE, v_BTGE, turn, scaling, train, segments)
    batch, length = q_BTHE.shape[:2]
    shared = segments is None and turn[0].shape[0] == 1
    lines = native.lines(tuple(segments or [Segment(0, batch * length, length)]), shared)
    out_ND, most_NH, share_NH = native.attention(q_BTHE, k_BTGE, v_BTGE, turn, scaling, lines)
    return out_ND, Compiled((q_BTHE, k_BTGE, v_BTGE), out_ND, most_NH, share_NH, lines) if train else None


def attend_backward(
    grad_BTHE: Tensor, kept: Any, turn: Turn, scaling: float, segments: Sequence[Segment] | None = None
) -> tuple[Tensor, ...]:
    """Gradients of q_BTHE, k_BTGE and v_BTGE."""
    if isinstance(kept, Compiled):
        return native.attention_backward(grad_BTHE, *kept[:4], turn, scaling, kept.lines)
    if segments is None:
        return even_backward(grad_BTHE, kept, turn, scaling)
    return attend_each_backward(grad_BTHE, kept, turn, scaling, segments)


def turned_keys(k_BTGE: Tensor, turn: Turn, train: bool) -> Tensor:
    """As a cache keeps them."""
    cos, sin = (part.unsqueeze(2) for part in turn)
    return (rotated if train or k_BTGE.dtype != torch.bfloat16 else rotated_as_stock)(k_BTGE, cos, sin)


# ---- rows of unlike lengths, those of one length together ------------------------------------------------------------


def apart(x_1N: Tensor, segment: Segment) -> Tensor:
    """The rows of one length, of rows that stand end to end."""
    return x_1N[0, segment.start : segment.end].unflatten(0, (-1, segment.length))


def turns(turn: Turn, segment: Segment) -> Turn:
    """Every row begins at position 0, so the first one's rotation is that of all."""
    cos, sin = (part[:, segment.start : segment.start + segment.length] for part in turn)
    return cos, sin


def attend_each(
    q: Tensor, k: Tensor, v: Tensor, turn: Turn, scaling: float, train: bool, segments: Sequence[Segment]
) -> tuple[Tensor, list[Any]]:
    outs, kept = [], []
    for one in segments:
        some = apart(q, one), apart(k, one), apart(v, one)
        out, keeps = attend_even(*some, turns(turn, one), scaling, train)
        outs.append(out)
        kept.append(keeps)
    return torch.cat(outs), kept


def attend_each_backward(
    grad: Tensor, kept: list[Any], turn: Turn, scaling: float, segments: Sequence[Segment]
) -> tuple[Tensor, ...]:
    parts = [
        even_backward(apart(grad, one), keeps, turns(turn, one), scaling)
        for one, keeps in zip(segments, kept, strict=True)
    ]
    return tuple(torch.cat([part.flatten(0, 1) for part in some])[None] for some in zip(*parts, strict=True))


# ---- rows of one length ----------------------------------------------------------------------------------------------


def attend_even(
    q_BTHE: Tensor, k_BTGE: Tensor, v_BTGE: Tensor, turn: Turn, scaling: float, train: bool
) -> tuple[Tensor, Kept | None]:
    if train and by_hand(q_BTHE):
        return attend_by_hand(q_BTHE, k_BTGE, v_BTGE, turn, scaling)
    cos, sin = (part.unsqueeze(2) for part in turn)
    tokens = q_BTHE.shape[0] * q_BTHE.shape[1]
    rotate = rotated if train or q_BTHE.dtype != torch.bfloat16 else rotated_as_stock
    q_BTHE, k_BTGE = rotate(q_BTHE, cos, sin), rotate(k_BTGE, cos, sin)
    with torch.set_grad_enabled(train):
        heads = tuple(part.transpose(1, 2).requires_grad_(train) for part in (q_BTHE, k_BTGE, v_BTGE))
        q, k, v = heads
        out_BHTE = nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=q.shape[2] > 1, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
        )
    kept = Kept(out_BHTE, heads) if train else None
    return out_BHTE.detach().transpose(1, 2).reshape(tokens, -1), kept


def even_backward(grad_BTHE: Tensor, kept: Kept, turn: Turn, scaling: float) -> tuple[Tensor, Tensor, Tensor]:
    if kept.lse is not None:
        return backward_by_hand(grad_BTHE, kept, turn, scaling)
    gq, gk, gv = torch.autograd.grad(kept.out, kept.heads, grad_BTHE.transpose(1, 2))
    cos, sin = (part.unsqueeze(2) for part in turn)
    gq, gk = (rotated(part.transpose(1, 2), cos, sin, back=True) for part in (gq, gk))
    return gq, gk, gv.transpose(1, 2)


def rotated(x: Tensor, cos: Tensor, sin: Tensor, back: bool = False, out: Tensor | None = None) -> Tensor:
    """Rotary embedding in the half-split order, or its inverse (its transpose, for gradients)."""
    half = x.shape[-1] // 2
    sign = -1.0 if back else 1.0
    out = x * cos if out is None else torch.mul(x, cos, out=out)
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return out


def turned(x_BGTRE: Tensor, turn: Turn, out: Tensor, back: bool = False) -> None:
    cos, sin = turn
    if native.serves_bf16(x_BGTRE):
        native.rotate(x_BGTRE, cos, sin, back, out)
    else:
        rotated(x_BGTRE, cos[:, None, :, None], sin[:, None, :, None], back, out)


def rotated_as_stock(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rounded wherever the library's own rotation rounds, for predictions equal to the library's."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].sub_(x[..., half:] * sin[..., :half])
    out[..., half:].add_(x[..., :half] * sin[..., half:])
    return out


def attend_by_hand(q_BTHE: Tensor, k_BTGE: Tensor, v_BTGE: Tensor, turn: Turn, scaling: float) -> tuple[Tensor, Kept]:
    """Query heads that share keys (R of them) stand beside each other for every token: one product serves them."""
    batch, length, heads, width = q_BTHE.shape
    groups = k_BTGE.shape[2]
    shared = heads // groups
    q = q_BTHE.new_empty(batch, groups, length, shared, width + MORE)
    k, v = (q.new_empty(batch, groups, length, 1, width + MORE) for _ in range(2))
    turned(regrouped(q_BTHE, groups), turn, q[..., :width])
    turned(regrouped(k_BTGE, groups), turn, k[..., :width])
    v[..., :width].copy_(regrouped(v_BTGE, groups))
    for wide in (k, v):
        wide[..., width:] = 1.0
    q, k, v = (part.view(batch * groups, length, -1, width + MORE) for part in (q, k, v))
    parts = (part[..., :width].transpose(1, 2).expand(-1, shared, -1, -1) for part in (q, k, v))
    out_IRTE, lse_IRT = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*parts, 0.0, True, scale=scaling)
    out = out_IRTE.transpose(1, 2)
    a_ND = out.reshape(batch, groups, length, shared * width).transpose(1, 2).reshape(batch * length, -1)
    return a_ND, Kept(out.reshape(batch * groups, -1, width), (q, k.squeeze(2), v.squeeze(2)), lse_IRT)


def regrouped(x_BTHE: Tensor, groups: int) -> Tensor:
    """Batch, key head, token, the query heads of that key head, width."""
    batch, length, heads, width = x_BTHE.shape
    return x_BTHE.view(batch, length, groups, heads // groups, width).transpose(1, 2)


def backward_by_hand(grad_BTHE: Tensor, kept: Kept, turn: Turn, scaling: float) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, heads, width = grad_BTHE.shape
    q_ITRE, k_ITE, v_ITE = kept.heads
    assert kept.lse is not None
    count, _, shared, wide = q_ITRE.shape
    groups = count // batch
    g_ISE = grad_BTHE.new_empty(count, length * shared, wide)
    q_ISE = q_ITRE.view(count, length * shared, wide)
    # Products then give log p, and the gradient of p less its mean over the row.
    append(q_ISE, kept.lse.transpose(1, 2).reshape(count, -1), -1.0 / scaling)
    fast = native.serves_bf16(grad_BTHE)
    if fast:
        native.widen(regrouped(grad_BTHE, groups), kept.out, g_ISE)
    else:
        g_ISE.view(batch, groups, length, shared, wide)[..., :width].copy_(regrouped(grad_BTHE, groups))
        append(g_ISE, g_ISE[..., :width].float().mul_(kept.out.float()).sum(dim=-1), -1.0)
    gq_ISE = q_ISE.new_empty(count, length * shared, width)
    gk_ITE, gv_ITE = (k_ITE.new_empty(count, length, width) for _ in range(2))
    starts = range(0, length, QUERIES)
    for start in reversed(starts):
        end = min(start + QUERIES, length)
        hidden = causal(start, end, shared, grad_BTHE.dtype)
        beta = 0.0 if start == starts[-1] else 1.0
        step = max(1, CACHED // (hidden.shape[1] * hidden.shape[2]))
        for first in range(0, count, step):
            some = slice(first, first + step)
            rows = slice(start * shared, end * shared)
            q, g, k, v = q_ISE[some, rows], g_ISE[some, rows], k_ITE[some, :end], v_ITE[some, :end]
            p_IKS = torch.baddbmm(hidden, k, q.mT, beta=0.0 if fast else 1.0, alpha=scaling)
            gs_IKS = torch.bmm(v, g.mT)
            if fast:
                native.weights(p_IKS, gs_IKS, shared, start)
            else:
                gs_IKS.mul_(p_IKS.exp_())
            gv_ITE[some, :end].baddbmm_(p_IKS, g[..., :width], beta=beta)
            gk_ITE[some, :end].baddbmm_(gs_IKS, q[..., :width], beta=beta, alpha=scaling)
            gq_ISE[some, rows].baddbmm_(gs_IKS.mT, k[..., :width], beta=0.0, alpha=scaling)
    gq, gk = (grad_BTHE.new_empty(batch, length, count, width) for count in (heads, groups))
    for into, part in ((gq, gq_ISE), (gk, gk_ITE)):
        turned(part.view(batch, groups, length, -1, width), turn, regrouped(into, groups), back=True)
    return gq, gk, gv_ITE.view(batch, groups, length, width).transpose(1, 2)


def append(wide_ISE: Tensor, column_IS: Tensor, factor: float) -> None:
    """The column as its upper and lower bits, which together hold sixteen."""
    column_IS = column_IS * factor
    upper, lower = wide_ISE[..., -2], wide_ISE[..., -1]
    upper.copy_(column_IS)
    torch.sub(column_IS, upper, out=column_IS)
    lower.copy_(column_IS)


@lru_cache(maxsize=64)
def causal(start: int, end: int, shared: int, dtype: torch.dtype) -> Tensor:
    """Added to scores of keys before `end` against queries from `start`: -inf where the key comes later."""
    later = torch.arange(end)[:, None] > torch.arange(start, end)[None]
    mask_KQ = torch.zeros(end, end - start, dtype=dtype).masked_fill_(later, float("-inf"))
    return mask_KQ.repeat_interleave(shared, dim=1)[None]


__all__: tuple[Any, ...] = ("Kept", "attend", "attend_backward")
