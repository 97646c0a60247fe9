"""The Llama forward pass that training compiles: the same mathematics as the stock model, written flat.

It runs on a plain dict of parameters named as `transformers` names them, so that a state dict is a checkpoint.
Products run in the compute type (bf16 where the processor has units for it), the residual stream in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """What a stock Llama configuration needs to know about a model of ours."""

    layers: int
    width: int
    heads: int
    hidden: int
    vocab: int = 3200
    theta: float = 5e5
    eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


BLOCK = 128

LAB = Shape(layers=5, width=192, heads=4, hidden=448)


def parameter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    d, h = shape.width, shape.hidden
    out: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.vocab, d)}
    for i in range(shape.layers):
        p = f"model.layers.{i}."
        for name in "qkvo":
            out[f"{p}self_attn.{name}_proj.weight"] = (d, d)
        out[p + "mlp.gate_proj.weight"] = (h, d)
        out[p + "mlp.up_proj.weight"] = (h, d)
        out[p + "mlp.down_proj.weight"] = (d, h)
        out[p + "input_layernorm.weight"] = (d,)
        out[p + "post_attention_layernorm.weight"] = (d,)
    out["model.norm.weight"] = (d,)
    return out


def parameter_count(shape: Shape) -> int:
    return sum(prod(one) for one in parameter_shapes(shape).values())


def rope(shape: Shape, length: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Cosines and sines, [T, head_dim], in the half-split order that stock Llama uses."""
    frequency = shape.theta ** (-torch.arange(0, shape.head_dim, 2, device=device).float() / shape.head_dim)
    angle = torch.outer(torch.arange(length, device=device).float(), frequency)
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def hidden_states(
    params: dict[str, Tensor], ids_BT: Tensor, shape: Shape, cos: Tensor, sin: Tensor, dtype: torch.dtype
) -> Tensor:
    """The last hidden states after the final norm, [B, T, D]."""
    B, T = ids_BT.shape
    block = min(T, max(BLOCK, T // 8))  # more than eight would take minutes to compile
    x = F.embedding(ids_BT, params["model.embed_tokens.weight"])
    causal = torch.full((T, T), -1e9, device=ids_BT.device).triu(1)
    for i in range(shape.layers):
        p = f"model.layers.{i}."
        y = _norm(x, params[p + "input_layernorm.weight"], shape.eps).to(dtype)
        qkv = torch.cat([params[f"{p}self_attn.{n}_proj.weight"] for n in "qkv"]).to(dtype)
        q, k, v = F.linear(y, qkv).view(B, T, 3, shape.heads, shape.head_dim).permute(2, 0, 3, 1, 4)
        q, k = _rotate(q.float(), cos, sin).to(dtype), _rotate(k.float(), cos, sin).to(dtype)
        # Plain products: torch's fused attention for the CPU spends four times as long in its backward pass.
        # In blocks of queries, each against the keys up to its end only.
        blocks = []
        for start in range(0, T, block):
            end = start + block
            scores = torch.matmul(q[:, :, start:end], k[:, :, :end].transpose(-1, -2)).float()
            scores = scores * shape.head_dim**-0.5 + causal[start:end, :end]
            blocks.append(torch.matmul(torch.softmax(scores, -1).to(dtype), v[:, :, :end]))
        a = torch.cat(blocks, 2)
        a = a.transpose(1, 2).reshape(B, T, shape.width)
        x = x + F.linear(a, params[p + "self_attn.o_proj.weight"].to(dtype)).float()
        y = _norm(x, params[p + "post_attention_layernorm.weight"], shape.eps).to(dtype)
        both = torch.cat([params[p + "mlp.gate_proj.weight"], params[p + "mlp.up_proj.weight"]]).to(dtype)
        gate, up = F.linear(y, both).float().chunk(2, -1)
        x = x + F.linear((F.silu(gate) * up).to(dtype), params[p + "mlp.down_proj.weight"].to(dtype)).float()
    return _norm(x, params["model.norm.weight"], shape.eps)


def weighted_loss(
    params: dict[str, Tensor],
    ids_BT: Tensor,
    at_K: Tensor,
    targets_K: Tensor,
    weights_K: Tensor,
    shape: Shape,
    cos: Tensor,
    sin: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """Mean negative log-likelihood of the targets at `at_K` (places in the flattened batch), each weighted."""
    h_KD = hidden_states(params, ids_BT, shape, cos, sin, dtype).flatten(0, 1)[at_K]
    logits_KV = F.linear(h_KD.to(dtype), params["model.embed_tokens.weight"].to(dtype)).float()
    nll_K = F.cross_entropy(logits_KV, targets_K, reduction="none")
    return (nll_K * weights_K).sum() / weights_K.sum()
