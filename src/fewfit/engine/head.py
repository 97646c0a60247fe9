"""What the output head says at some places, a few rows at a time: with a vocabulary of 262,144 the logits of a pass
would take more memory than all else, and more time to write than to use.

The gradient of a row's loss is known as soon as its logits are, but for a factor; so it is taken at once and kept by
its width, and the logits go. That is the head alone: for models which do something to its output (soft-capping,
scaling) the logits come from the model itself, and are read here all the same.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

CHUNK = 128  # rows: more is no faster. Even chunks, since how many rows share a product may decide its rounding


class Read(NamedTuple):
    """`loss_N` carries the graph; `best` is the likeliest token of each row, `gap` its lead over the next, `kept` the
    whole logits (fp32 at least) of rows that were asked for."""

    loss_N: Tensor
    best: list[int]
    gap: list[float]
    kept: dict[int, Tensor]


def read(head: nn.Linear, x_ND: Tensor, wanted_N: Tensor, keep: Collection[int]) -> Read:
    found: list[Read] = []
    loss_N = Losses.apply(x_ND, head, wanted_N, frozenset(keep), found)
    return found[0]._replace(loss_N=loss_N)


def read_logits(logits_NV: Tensor, wanted_N: Tensor, keep: Collection[int]) -> Read:
    loss_N = nn.functional.cross_entropy(logits_NV, wanted_N, reduction="none")
    top_N2 = logits_NV.detach().topk(2, dim=-1)
    kept = {n: logits_NV[n].detach() for n in keep}
    return Read(loss_N, top_N2.indices[:, 0].tolist(), (top_N2.values[:, 0] - top_N2.values[:, 1]).tolist(), kept)


class Losses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, head: nn.Linear, wanted_N: Tensor, keep: frozenset[int], found: list[Read]
    ) -> Tensor:
        losses: list[Tensor] = []
        gradients: list[Tensor] = []
        best: list[int] = []
        gap: list[float] = []
        kept: dict[int, Tensor] = {}
        for part_ND, part_N in zip(x_ND.split(CHUNK), wanted_N.split(CHUNK), strict=True):
            logits_NV = wide(nn.functional.linear(part_ND, head.weight, head.bias))
            some = read_logits(logits_NV, part_N, [])
            kept |= {n: logits_NV[n - len(best)].clone() for n in keep if len(best) <= n < len(best) + len(part_N)}
            losses.append(some.loss_N)
            best += some.best
            gap += some.gap
            if ctx.needs_input_grad[0]:
                p_NV = logits_NV.softmax(dim=-1)
                p_NV[torch.arange(len(part_N), device=p_NV.device), part_N] -= 1.0
                gradients.append(p_NV.to(x_ND.dtype) @ head.weight)
        loss_N = torch.cat(losses)
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        found.append(Read(loss_N, best, gap, kept))
        return loss_N

    @staticmethod
    def backward(ctx: Any, grad_N: Tensor) -> Any:
        (gradient_ND,) = ctx.saved_tensors
        return grad_N.to(gradient_ND.dtype)[:, None] * gradient_ND, None, None, None, None


def wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def says_all(model: Any) -> bool:
    """Whether the model's logits are its head's output and no more (a proof for models/library.py)."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or type(head.weight) is not nn.Parameter or head._forward_hooks:
        return False
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    try:
        ids_BT = (torch.arange(8, device=head.weight.device) * 7 % head.weight.shape[0])[None]
        with torch.no_grad():
            logits = model(input_ids=ids_BT, use_cache=False).logits
            own = nn.functional.linear(seen[0], head.weight, head.bias)
            return len(seen) == 1 and torch.equal(wide(own), wide(logits))
    finally:
        hook.remove()
