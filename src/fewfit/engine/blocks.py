"""Whole decoder layers of the Llama family, forward and backward written out: the same mathematics in fewer passes.

Autograd's way through a stock layer is half of a step's time on a small model. Here a layer is one node: norms,
rotation and activation work in place, gradients of siblings are summed inside the products, the first layer computes no
gradient for its input, and the last one runs its output projection and MLP on answer places only. Other families, and
layers with masks, caches or anything unusual, keep their own forward (with adapters in their linear layers); a layer is
taken over only if it gives what the stock forward gives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fewfit.engine import native
from fewfit.engine.adapters import (
    Wrapped,
    adapters_backward,
    add_adapters,
    in_one,
    in_one_backward,
    is_plain,
)
from fewfit.engine.attention import attend, attend_backward, turned_keys
from fewfit.engine.rowmap import Pass, Pieces, Siblings

FAMILY = {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
NORMS = ("input_layernorm", "post_attention_layernorm")
HALVES = (torch.bfloat16,)
TAKEN: tuple[torch.dtype, ...] = (torch.float32, *HALVES)  # stock norms compute in fp32, in fp64 models too


class Block:
    """One decoder layer that we run ourselves."""

    def __init__(self, layer: Any, groups: dict[str, Siblings], prefix: str, last: bool):
        attention = layer.self_attn
        self.last = last
        self.index = attention.layer_idx
        self.norms = [(getattr(layer, name).weight, getattr(layer, name).variance_epsilon) for name in NORMS]
        self.head_norms = [
            (norm.weight, norm.variance_epsilon)
            for norm in (getattr(attention, "q_norm", None), getattr(attention, "k_norm", None))
            if norm is not None
        ]
        self.head_dim, self.scaling = attention.head_dim, attention.scaling
        self.qkv = groups[f"{prefix}self_attn.q_proj"]
        self.o = groups[f"{prefix}self_attn.o_proj"]
        self.gate_up = groups[f"{prefix}mlp.gate_proj"]
        self.down = groups[f"{prefix}mlp.down_proj"]

    def run(self, x_BTD: Tensor, now: Pass, cos: Tensor, sin: Tensor, anchor: Tensor, cache: Any) -> Tensor:
        touched = any(group in now.touched for group in (self.qkv, self.o, self.gate_up, self.down))
        train = torch.is_grad_enabled() and (x_BTD.requires_grad or touched)
        trim = now.answers if self.last and now.answers is not None and now.even() else None
        out = Layer.apply(x_BTD, anchor if train else None, self, now, cos, sin, trim, cache)
        if trim is not None:
            now.trimmed = True
            out = out[None]
        return out


class Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_BTD: Tensor,
        anchor: Tensor | None,
        block: Block,
        now: Pass,
        cos: Tensor,
        sin: Tensor,
        answers_M: Tensor | None,
        cache: Any,
    ) -> Tensor:
        batch, length, width = x_BTD.shape
        x_ND = x_BTD.reshape(-1, width)
        pieces = {group: now.pieces(group, len(x_ND)) for group in (block.qkv, block.o, block.gate_up, block.down)}
        if answers_M is not None:
            for group in (block.o, block.gate_up, block.down):
                pieces[group] = now.answer_pieces(group)
        ctx.heads = (batch, length, -1, block.head_dim)
        train = anchor is not None
        n_ND, scale_N1 = normed(x_ND, *block.norms[0], train)
        qkv, h_qkv = linear(n_ND, block.qkv, pieces, train)
        q, k, v = (part.view(ctx.heads) for part in qkv)
        raw: list[Tensor] = []
        if block.head_norms:
            raw = [q, k]
            (q, q_scale), (k, k_scale) = (
                normed(p, *norm, train) for p, norm in zip(raw, block.head_norms, strict=True)
            )
            raw += [q_scale, k_scale]
        ctx.segments = now.segments if now.packed else None
        a_ND, ctx.attention = attend(q, k, v, (cos, sin), block.scaling, train, ctx.segments)
        if cache is not None:
            keys = turned_keys(k, (cos, sin), train)
            cache.update(keys.transpose(1, 2), v.transpose(1, 2), block.index)
        if answers_M is not None:
            a_ND, x_ND = a_ND[answers_M], x_ND[answers_M]
        y_ND, h_o = linear_onto(x_ND, a_ND, block.o, pieces, train)
        m_ND, y_scale_N1 = normed(y_ND, *block.norms[1], train)
        gate_NF, up_NF, p_NF, h_gate = linear_gated(m_ND, block.gate_up, pieces, train)
        out_ND, h_down = linear_onto(y_ND, p_NF, block.down, pieces, train)
        if train:
            ctx.block, ctx.pieces, ctx.answers, ctx.turn = block, pieces, answers_M, (cos, sin)
            ctx.counts = [len(some) for some in (h_qkv, h_o, h_gate, h_down)]
            # x is saved whole even where answers were picked: the first norm's gradient wants it.
            ctx.save_for_backward(
                x_BTD, n_ND, scale_N1, a_ND, y_ND, m_ND, y_scale_N1, gate_NF, up_NF, p_NF,
                *raw, *h_qkv, *h_o, *h_gate, *h_down,
            )  # fmt: skip
        return out_ND if answers_M is not None else out_ND.view(x_BTD.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        block, pieces, answers_M = ctx.block, ctx.pieces, ctx.answers
        x_BTD, n_ND, scale_N1, a_ND, y_ND, m_ND, y_scale_N1, gate_NF, up_NF, p_NF, *rest = ctx.saved_tensors
        raw = [rest.pop(0) for _ in range(4 if block.head_norms else 0)]
        h_qkv, h_o, h_gate, h_down = ([rest.pop(0) for _ in range(count)] for count in ctx.counts)
        width = x_BTD.shape[-1]
        grad_ND = grad.reshape(-1, width)

        gp_NF = backward([grad_ND], p_NF, h_down, block.down, pieces)
        gm_ND = backward_gated(gp_NF, gate_NF, up_NF, m_ND, h_gate, block.gate_up, pieces)
        gy_ND = normed_backward(gm_ND, y_ND, y_scale_N1, block.norms[1][0], grad_ND)

        ga_ND = backward([gy_ND], a_ND, h_o, block.o, pieces)
        if answers_M is not None:  # added, since a place may stand there again to fill the product
            tokens = x_BTD.shape[0] * x_BTD.shape[1]
            ga_ND = ga_ND.new_zeros(tokens, ga_ND.shape[1]).index_add_(0, answers_M, ga_ND)
            gy_ND = gy_ND.new_zeros(tokens, width).index_add_(0, answers_M, gy_ND)
        kept, ctx.attention = ctx.attention, None
        ga_BTHE = ga_ND.view(ctx.heads)
        gq, gk, gv = attend_backward(ga_BTHE, kept, ctx.turn, block.scaling, ctx.segments)
        if block.head_norms:
            (q_weight, _), (k_weight, _) = block.head_norms
            gq = normed_backward(gq, raw[0], raw[2], q_weight, None)
            gk = normed_backward(gk, raw[1], raw[3], k_weight, None)
        parts = [part.reshape(len(n_ND), -1) for part in (gq, gk, gv)]
        needed = ctx.needs_input_grad[0]
        gn_ND = backward(parts, n_ND, h_qkv, block.qkv, pieces, needed)
        gx_BTD = None
        if needed:
            assert gn_ND is not None
            x_ND = x_BTD.reshape(-1, width)
            gx_BTD = normed_backward(gn_ND, x_ND, scale_N1, block.norms[0][0], gy_ND).view(x_BTD.shape)
        return gx_BTD, None, None, None, None, None, None, None


def linear(
    x_ND: Tensor, group: Siblings, pieces: dict[Siblings, Pieces], train: bool
) -> tuple[list[Tensor], list[Tensor]]:
    if train and (found := in_one(x_ND, pieces[group], group)) is not None:
        return found[0], [found[1]]
    outs = group.frozen.times(x_ND)
    return outs, add_adapters(outs, x_ND, pieces[group], group, tuple(range(len(outs))))


def linear_onto(
    onto_ND: Tensor, x_ND: Tensor, group: Siblings, pieces: dict[Siblings, Pieces], train: bool
) -> tuple[Tensor, list[Tensor]]:
    """The layer's output on top of the residual stream: within the product where that saves a pass (in bf16 a rounding
    too; predictions alone round where the library's do)."""
    if train and (found := in_one(x_ND, pieces[group], group, onto_ND)) is not None:
        return found[0][0], [found[1]]
    if (train and x_ND.dtype in HALVES) or (x_ND.dtype not in HALVES and group.frozen.tiled(x_ND)):
        (out_ND,) = group.frozen.times(x_ND, onto_NO=onto_ND)
        return out_ND, add_adapters([out_ND], x_ND, pieces[group], group, (0,))
    (out_ND,), hidden = linear(x_ND, group, pieces, train)
    return out_ND.add_(onto_ND), hidden


def backward(
    grads: list[Tensor],
    x_ND: Tensor,
    hidden: list[Tensor],
    group: Siblings,
    pieces: dict[Siblings, Pieces],
    needed: bool = True,
) -> Any:
    if needed and (found := in_one_backward(grads, x_ND, hidden, pieces[group], group)) is not None:
        return found
    gx_ND = group.frozen.back(grads) if needed else None
    adapters_backward(grads, x_ND, hidden, pieces[group], group, tuple(range(len(grads))), gx_ND)
    return gx_ND


def linear_gated(
    x_ND: Tensor, group: Siblings, pieces: dict[Siblings, Pieces], train: bool
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """The gate, what it lets through and what comes through."""
    if train and (found := in_one(x_ND, pieces[group], group, gate=True)) is not None:
        gate, up, through = found[0]
        return gate, up, through, [found[1]]
    (gate, up), hidden = linear(x_ND, group, pieces, train)
    return gate, up, gated(gate, up, train), hidden


def backward_gated(
    grad: Tensor,
    gate: Tensor,
    up: Tensor,
    x_ND: Tensor,
    hidden: list[Tensor],
    group: Siblings,
    pieces: dict[Siblings, Pieces],
) -> Any:
    found = in_one_backward([grad], x_ND, hidden, pieces[group], group, (gate, up))
    return found if found is not None else backward(list(gated_backward(grad, gate, up)), x_ND, hidden, group, pieces)


def gated(gate: Tensor, up: Tensor, train: bool) -> Tensor:
    """silu(gate) · up."""
    if (train or gate.dtype not in HALVES) and native.serves(gate, up):
        return native.gated(gate, up)
    return nn.functional.silu(gate).mul_(up)


def gated_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of gate and up. Overwrites `grad`."""
    if native.serves(grad, gate, up):
        return native.gated_backward(grad, gate, up)
    up_grad = nn.functional.silu(gate).mul_(grad)
    return torch.ops.aten.silu_backward(grad.mul_(up), gate), up_grad


def normed(x: Tensor, weight_D: Tensor, epsilon: float, train: bool) -> tuple[Tensor, Tensor]:
    """Root-mean-square norm over the last axis, and the scale of each row, in fp32 at least as stock norms compute."""
    # Predictions in fp32 too, to round as training does; those in bf16 round as the library's.
    if (train or x.dtype not in HALVES) and native.serves(x, weight_D):
        return native.norm(x, weight_D, epsilon)
    if x.dtype not in HALVES:
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = size.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        return (x * scale).mul_(weight_D), scale
    x_32 = x.float()
    scale = x_32.square().mean(dim=-1, keepdim=True).add_(epsilon).rsqrt_()
    return x_32.mul_(scale).to(x.dtype).mul_(weight_D), scale


def normed_backward(grad: Tensor, x: Tensor, scale: Tensor, weight_D: Tensor, beside: Tensor | None) -> Tensor:
    """Gradient of x, added to what flows `beside` the norm. May overwrite `grad`."""
    dtype = x.dtype
    others = (grad, weight_D) if beside is None else (grad, weight_D, beside)
    if native.serves(x, *others):
        return native.norm_backward(grad, x, scale, weight_D, beside)
    if dtype in HALVES:
        grad, x, weight_D = grad.float(), x.float(), weight_D.float()
        beside = None if beside is None else beside.float()
    grad = grad.mul_(weight_D)
    along = (grad * x).sum(dim=-1, keepdim=True)
    along.mul_(scale).mul_(scale).mul_(scale).div_(-x.shape[-1])
    out = grad.mul_(scale) if beside is None else torch.addcmul(beside, grad, scale)
    return out.addcmul_(x, along).to(dtype)


def take_over(wrapped: Wrapped, layers: list[str]) -> int:
    """Gives our forward to every layer that proves equal to it; returns how many."""
    model = wrapped.model
    if model.dtype not in TAKEN:
        return 0
    modules = dict(model.named_modules())
    groups = {name: group for group in wrapped.groups for name in group.names}
    seen = first_calls(model, [modules[name.removesuffix(".")] for name in layers])
    taken = 0
    for place, prefix in enumerate(layers):
        layer = modules[prefix.removesuffix(".")]
        if layer not in seen or not plain_layer(layer, groups, prefix):
            continue
        x, kwargs, expected = seen[layer]
        block = Block(layer, groups, prefix, last=place == len(layers) - 1)
        cos, sin = kwargs["position_embeddings"]
        with torch.no_grad():
            ours = Layer.apply(x, None, block, Pass([None] * len(x), x.dtype), cos, sin, None, None)
        close = 2.0**-7 if x.dtype in HALVES else 1e-5
        if not torch.allclose(ours, expected, rtol=10 * close, atol=close * float(expected.abs().max())):
            continue
        wrapped.patch(layer, forward_of(wrapped, block, layer.forward))
        wrapped.blocks.append(block)
        taken += 1
    return taken


def forward_of(wrapped: Wrapped, block: Block, original: Any) -> Any:
    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        now, cache = wrapped.now, kwargs.get("past_key_values")
        # Where rows stand end to end the mask is a stand-in, and each row is causal by itself.
        unmasked = kwargs.get("attention_mask") is None or (now is not None and now.packed)
        usual = now is not None and not args and unmasked and (cache is None or now.keeps)
        if not usual or kwargs.get("position_embeddings") is None:
            return original(hidden_states, *args, **kwargs)
        assert now is not None
        cos, sin = kwargs["position_embeddings"]
        return block.run(hidden_states, now, cos, sin, wrapped.anchor, cache)

    return forward


def plain_layer(layer: Any, groups: dict[str, Siblings], prefix: str) -> bool:
    if type(layer).__name__ not in FAMILY or not type(layer).__module__.startswith("transformers."):
        return False
    attention, mlp = layer.self_attn, layer.mlp
    sizes = {"self_attn.q_proj": 3, "self_attn.o_proj": 1, "mlp.gate_proj": 2, "mlp.down_proj": 1}
    norms = [getattr(layer, name) for name in NORMS]
    return (
        all(prefix + name in groups and len(groups[prefix + name].names) == size for name, size in sizes.items())
        and all(groups[prefix + name].fast and groups[prefix + name].names[0] == prefix + name for name in sizes)
        and all(type(norm).__name__.endswith("RMSNorm") and hasattr(norm, "variance_epsilon") for norm in norms)
        and type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")
        and attention.config._attn_implementation == "sdpa"
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
    )


def first_calls(model: Any, layers: list[nn.Module]) -> dict[nn.Module, tuple[Tensor, dict[str, Any], Tensor]]:
    """Input, arguments and output of each layer in a short forward without a mask."""
    seen: dict[nn.Module, tuple[Tensor, dict[str, Any], Tensor]] = {}

    def note(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        if len(args) == 1 and isinstance(out, Tensor) and kwargs.get("position_embeddings") is not None:
            seen[module] = (args[0], kwargs, out)

    hooks = [layer.register_forward_hook(note, with_kwargs=True) for layer in layers]
    try:
        with torch.no_grad():
            size = model.get_input_embeddings().weight.shape[0]
            ids_BT = (torch.arange(14) * 7 % size).view(2, 7)
            model(input_ids=ids_BT.to(next(model.parameters()).device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


__all__ = ["Block", "is_plain", "take_over"]
