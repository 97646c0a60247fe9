"""Causal attention of a hand-written layer: torch's own kernel, and in bf16 on a CPU a backward of ours.

torch's backward of the CPU flash kernel takes 13 to 22 ms a layer in bf16 where the same by matrix products takes 2 to
9: its products do not reach the processor's bf16 units. Ours keeps the kernel's forward, bit for bit, and rebuilds the
weights from its log-sum-exp. Scores are rounded to bf16 when a product writes them, which is too coarse for an
exponential; so the log-sum-exp goes into the product as two more columns (its upper and its lower bits), and what is
rounded is the logarithm of the weight itself, small wherever the weight is large.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MORE = 2  # columns beside a head's own
QUERIES = 128  # a block of queries sees no keys behind it
CACHED = 1 << 19  # weights of this many numbers stay in the processor's second cache


class Kept(NamedTuple):
    """What the backward wants. By torch: the output and the leaves of its graph; by hand: I = batch × key heads."""

    out: Tensor
    heads: tuple[Tensor, ...]
    lse: Tensor | None = None  # None: by torch


def by_hand(like: Tensor) -> bool:
    return like.dtype == torch.bfloat16 and like.device.type == "cpu"


def attend(q_BTHE: Tensor, k_BTGE: Tensor, v_BTGE: Tensor, scaling: float, train: bool) -> tuple[Tensor, Kept | None]:
    """Output as (B·T)(H·E), and what the backward wants if there will be one."""
    tokens = q_BTHE.shape[0] * q_BTHE.shape[1]
    if train and by_hand(q_BTHE):
        return attend_by_hand(q_BTHE, k_BTGE, v_BTGE, scaling)
    with torch.set_grad_enabled(train):
        heads = tuple(part.transpose(1, 2).requires_grad_(train) for part in (q_BTHE, k_BTGE, v_BTGE))
        q, k, v = heads
        out_BHTE = nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=q.shape[2] > 1, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
        )
    kept = Kept(out_BHTE, heads) if train else None
    return out_BHTE.detach().transpose(1, 2).reshape(tokens, -1), kept


def attend_backward(grad_BTHE: Tensor, kept: Kept, scaling: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q_BTHE, k_BTGE and v_BTGE."""
    if kept.lse is not None:
        return backward_by_hand(grad_BTHE, kept, scaling)
    gq, gk, gv = torch.autograd.grad(kept.out, kept.heads, grad_BTHE.transpose(1, 2))
    return gq.transpose(1, 2), gk.transpose(1, 2), gv.transpose(1, 2)


def attend_by_hand(q_BTHE: Tensor, k_BTGE: Tensor, v_BTGE: Tensor, scaling: float) -> tuple[Tensor, Kept]:
    """Query heads that share keys (R of them) stand beside each other for every token: one product serves them."""
    batch, length, heads, width = q_BTHE.shape
    groups = k_BTGE.shape[2]
    shared = heads // groups
    q = q_BTHE.new_empty(batch * groups, length, shared, width + MORE)
    q.view(batch, groups, length, shared, -1)[..., :width].copy_(
        q_BTHE.view(batch, length, groups, shared, width).transpose(1, 2)
    )
    k, v = (q.new_empty(batch * groups, length, width + MORE) for _ in range(2))
    for wide, part in ((k, k_BTGE), (v, v_BTGE)):
        wide.view(batch, groups, length, -1)[..., :width].copy_(part.transpose(1, 2))
        wide[..., width:] = 1.0
    out_IRTE, lse_IRT = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q[..., :width].transpose(1, 2), k[:, None, :, :width], v[:, None, :, :width], 0.0, True, scale=scaling
    )
    out = out_IRTE.transpose(1, 2)
    a_ND = out.reshape(batch, groups, length, shared * width).transpose(1, 2).reshape(batch * length, -1)
    return a_ND, Kept(out.reshape(batch * groups, -1, width), (q, k, v), lse_IRT)


def backward_by_hand(grad_BTHE: Tensor, kept: Kept, scaling: float) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, _, width = grad_BTHE.shape
    q_ITRE, k_ITE, v_ITE = kept.heads
    assert kept.lse is not None
    count, _, shared, wide = q_ITRE.shape
    groups = count // batch
    g_ISE = grad_BTHE.new_empty(count, length * shared, wide)
    g_ISE.view(batch, groups, length, shared, wide)[..., :width].copy_(
        grad_BTHE.reshape(batch, length, groups, shared, width).transpose(1, 2)
    )
    q_ISE = q_ITRE.view(count, length * shared, wide)
    # Products then give log p, and the gradient of p less its mean over the row.
    append(q_ISE, kept.lse.transpose(1, 2).reshape(count, -1), -1.0 / scaling)
    append(g_ISE, (g_ISE[..., :width].float() * kept.out).sum(dim=-1), -1.0)
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
            p_IKS = torch.baddbmm(hidden, k, q.mT, alpha=scaling).exp_()
            gs_IKS = torch.bmm(v, g.mT).mul_(p_IKS)
            gv_ITE[some, :end].baddbmm_(p_IKS, g[..., :width], beta=beta)
            gk_ITE[some, :end].baddbmm_(gs_IKS, q[..., :width], beta=beta, alpha=scaling)
            gq_ISE[some, rows].baddbmm_(gs_IKS.mT, k[..., :width], beta=0.0, alpha=scaling)
    gq = gq_ISE.view(batch, groups, length, shared, width).transpose(1, 2)
    gk, gv = (part.view(batch, groups, length, width).transpose(1, 2) for part in (gk_ITE, gv_ITE))
    return gq.reshape(batch, length, groups * shared, width), gk, gv


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
