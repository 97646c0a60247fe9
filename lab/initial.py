"""Structured initial weights: look-up circuits are installed by hand, the rest is learnt.

Layer 0 has heads that attend 1, 2 and 3 tokens back and write what they see into places of their own; layer 1 has heads
that match what stood h back here with what stood h+1 back there, and copy. From ordinary initial weights the same
circuits cost millions of tokens; see docs/log-lab.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lab.net import Shape, parameter_shapes

EMBEDDING_STD = 0.5
CONSTANT = 2.0  # what every token carries in dimension 0
SLOW = 2e-3  # radians a token: slower pairs of a rotary head hardly turn within a row
FINAL_NORM = 0.05
MATCH, COPY, PLACE = 22.0, 3.0, 0.6  # sharpness of matching, strength of copying, size of what layer 0 writes


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns), generator=generator))
    return q if rows >= columns else q.T


def slow_dimensions(shape: Shape) -> list[int]:
    """Dimensions of a head, both halves of a pair, whose rotation is slow enough to compare contents."""
    half = shape.head_dim // 2
    pairs = [j for j in range(half) if shape.theta ** (-j / half) < SLOW]
    return pairs + [j + half for j in pairs]


def structured(shape: Shape, twins: list[tuple[int, int]], seed: int = 0) -> dict[str, Tensor]:
    """A state dict. `twins` are ids of one word with and without a space before it: they start almost equal."""
    g = torch.Generator().manual_seed(seed)
    D, H = shape.width, shape.head_dim
    out: dict[str, Tensor] = {}
    for name, size in parameter_shapes(shape).items():
        if len(size) == 1:
            out[name] = torch.ones(size)
        else:
            scale = 0.3 if ("o_proj" in name or "down_proj" in name) else 1.0
            out[name] = torch.randn(size, generator=g) * scale * size[1] ** -0.5
    out["model.norm.weight"] *= FINAL_NORM

    slow = slow_dimensions(shape)
    sign = len(slow)
    token = slice(1, D - 3 * sign)  # where embeddings live at first
    place = [slice(D - (4 - h) * sign, D - (3 - h) * sign) for h in (1, 2, 3)]  # what stood h back
    width = token.stop - token.start

    embedding = torch.randn(shape.vocab, D, generator=g) * 0.02
    embedding[:, token] = torch.randn(shape.vocab, width, generator=g) * EMBEDDING_STD
    bare = torch.randn(width, generator=g) * EMBEDDING_STD * 0.3
    for spaced, plain in twins:
        noise = torch.randn(width, generator=g) * EMBEDDING_STD * 0.15
        embedding[plain, token] = embedding[spaced, token] + bare + noise
    embedding[:, 0] = CONSTANT
    out["model.embed_tokens.weight"] = embedding
    rms = embedding.pow(2).mean(-1).sqrt().mean().item()

    signature = _orthonormal(sign, width, g)
    half = H // 2
    frequency = shape.theta ** (-torch.arange(half).float() / half)
    amplitude = torch.where(torch.arange(half) < 2, 20.0, torch.where(frequency > 0.01, 8.0, 0.0)) * H**0.5
    p = "model.layers.0.self_attn."
    for h in (1, 2, 3):
        rows = slice((h - 1) * H, h * H)
        for name, angle in (("q", torch.zeros(half)), ("k", h * frequency)):
            weight = torch.zeros(H, D)
            weight[:half, 0] = amplitude.sqrt() * angle.cos() * rms / CONSTANT
            weight[half:, 0] = amplitude.sqrt() * angle.sin() * rms / CONSTANT
            out[f"{p}{name}_proj.weight"][rows] = weight
        value = torch.zeros(H, D)
        value[:sign, token] = signature
        out[p + "v_proj.weight"][rows] = value
        write = torch.zeros(D, H)
        write[place[h - 1], :sign] = torch.eye(sign) * PLACE
        out[p + "o_proj.weight"][:, rows] = write

    p = "model.layers.1.self_attn."
    # After layer 0 the stream is about `rms2` in size: tokens at std 0.5 and three places.
    content = (EMBEDDING_STD / rms) * PLACE
    rms2 = ((width * EMBEDDING_STD**2 + CONSTANT**2 + 3 * sign * content**2) / D) ** 0.5
    read_token = signature / EMBEDDING_STD * rms2
    read_place = torch.eye(sign) / content * rms2
    strength = (MATCH * H**0.5 / sign) ** 0.5
    for h in (0, 1, 2):
        rows = slice(h * H, (h + 1) * H)
        query, key = torch.zeros(H, D), torch.zeros(H, D)
        if h == 0:
            query[slow, token] = read_token * strength
        else:
            query[slow, place[h - 1]] = read_place * strength
        key[slow, place[h]] = read_place * strength
        out[p + "q_proj.weight"][rows], out[p + "k_proj.weight"][rows] = query, key
        see = _orthonormal(H, width, g)
        value, write = torch.zeros(H, D), torch.zeros(D, H)
        value[:, token] = see * rms2
        write[token] = see.T * COPY
        out[p + "v_proj.weight"][rows] = value
        out[p + "o_proj.weight"][:, rows] = write
    return out
