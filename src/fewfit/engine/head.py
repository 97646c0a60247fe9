"""What the output head says at some places, a few rows at a time: with a vocabulary of 262,144 the logits of a pass
would take more memory than all else, and more time to write than to use.

The gradient of a row's loss is known as soon as its logits are, but for a factor; so it is taken at once and kept by
its width, and the logits go. That is the head alone: for models which do something to its output (soft-capping,
scaling) the logits come from the model itself, and are read here all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

CHUNK = 128  # rows: more is no faster. Even chunks, since how many rows share a product may decide its rounding


class Read(NamedTuple):
    """`loss_N` is what the answers cost, `trained_N` what is trained on and carries the graph. Of rows that were asked
    for: the likeliest token and its lead over the next (`best`), and the whole logits, in fp32 at least (`kept`)."""

    loss_N: Tensor
    best: dict[int, tuple[int, float]]
    kept: dict[int, Tensor]
    trained_N: Tensor


class Pull(NamedTuple):
    """Towards the frozen model: what it says at the same places (its logits, or what its head is given), and how much
    the divergence from that weighs at each. KL(frozen ‖ lane): nothing that the frozen model says is to be lost."""

    frozen: Tensor
    weight_N: Tensor


def read(
    head: nn.Linear,
    x_ND: Tensor,
    wanted_N: Tensor,
    tell: Collection[int],
    keep: Collection[int],
    pull: Pull | None = None,
) -> Read:
    found: list[Read] = []
    trained_N = Losses.apply(x_ND, head, wanted_N, sorted(tell), sorted(set(keep)), pull, found)
    return found[0]._replace(trained_N=trained_N)


def read_logits(
    logits_NV: Tensor, wanted_N: Tensor, tell: Collection[int], keep: Collection[int], pull: Pull | None = None
) -> Read:
    trained_N = loss_N = nn.functional.cross_entropy(logits_NV, wanted_N, reduction="none")
    if pull is not None:
        trained_N = loss_N + pull.weight_N * divergence(pull.frozen.log_softmax(-1), logits_NV.log_softmax(-1))
    best, kept = leads(logits_NV.detach(), sorted(tell)), {n: logits_NV[n].detach() for n in keep}
    return Read(loss_N, best, kept, trained_N)


def divergence(frozen_NV: Tensor, lane_NV: Tensor) -> Tensor:
    """KL(frozen ‖ lane) of log p."""
    return (frozen_NV.exp() * (frozen_NV - lane_NV)).sum(dim=-1)


def leads(logits_NV: Tensor, tell: Sequence[int], start: int = 0) -> dict[int, tuple[int, float]]:
    if not tell:
        return {}
    top_M2 = logits_NV[[n - start for n in tell]].topk(2, dim=-1)
    gap_M = (top_M2.values[:, 0] - top_M2.values[:, 1]).tolist()
    return dict(zip(tell, zip(top_M2.indices[:, 0].tolist(), gap_M, strict=True), strict=True))


class Losses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        head: nn.Linear,
        wanted_N: Tensor,
        tell: Sequence[int],
        keep: Sequence[int],
        pull: Pull | None,
        found: list[Read],
    ) -> Tensor:
        losses: list[Tensor] = []
        trained: list[Tensor] = []
        gradients: list[Tensor] = []
        best: dict[int, tuple[int, float]] = {}
        kept: dict[int, Tensor] = {}
        for start in range(0, len(x_ND), CHUNK):
            rows = range(start, min(start + CHUNK, len(x_ND)))
            part_ND, part_N1 = x_ND[start : rows.stop], wanted_N[start : rows.stop, None]
            logits_NV = wide(nn.functional.linear(part_ND, head.weight, head.bias))
            best |= leads(logits_NV, [n for n in tell if n in rows], start)
            kept |= {n: logits_NV[n - start].clone() for n in keep if n in rows}
            sum_N1 = logits_NV.logsumexp(dim=-1, keepdim=True)
            losses.append((sum_N1 - logits_NV.gather(1, part_N1))[:, 0])
            if pull is not None:
                frozen_NV = wide(nn.functional.linear(pull.frozen[start : rows.stop], head.weight, head.bias))
                frozen_NV, weight_N1 = frozen_NV.log_softmax(-1), pull.weight_N[start : rows.stop, None]
                trained.append(losses[-1] + weight_N1[:, 0] * divergence(frozen_NV, logits_NV - sum_N1))
            if ctx.needs_input_grad[0]:
                p_NV = logits_NV.sub_(sum_N1).exp_()
                if pull is not None:
                    p_NV += weight_N1 * (p_NV - frozen_NV.exp_())
                p_NV.scatter_add_(1, part_N1, torch.full_like(sum_N1, -1.0))
                gradients.append(p_NV.to(x_ND.dtype) @ head.weight)
        loss_N = torch.cat(losses)
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        found.append(Read(loss_N, best, kept, loss_N))
        return torch.cat(trained) if trained else loss_N

    @staticmethod
    def backward(ctx: Any, grad_N: Tensor) -> Any:
        (gradient_ND,) = ctx.saved_tensors
        return (grad_N[:, None] * gradient_ND).to(gradient_ND.dtype), *[None] * 6


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
