"""Greedy tokens of many lanes' rows through layers that are ours: no padding, one call for each thing a layer does.

`generate` of the library spends eight to twelve milliseconds a token on a small model, nearly all of it around the
layers. Where every layer is ours and `attention.c` serves, rows stand end to end for their prompts, and go on as one
token each over kept keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fewfit.engine import native
from fewfit.engine.attention import Turn
from fewfit.engine.blocks import Block, gated, linear, linear_onto, normed
from fewfit.engine.rowmap import Pass, Pieces, Siblings

HEADED = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
FILL = 16  # keys come in whole vectors

Touching = dict[Siblings, Pieces]
Attended = Callable[[Tensor, Tensor, Tensor], Tensor]


def decodes(model: Any, blocks: Sequence[Block]) -> bool:
    """Whether a model is its embedding, these layers, a norm and a head; in fp32, as predictions in bf16 round where
    the library does."""
    return (
        known(model)
        and model.dtype == torch.float32
        and len(blocks) == len(model.model.layers)
        and all(block.head_dim % FILL == 0 for block in blocks)
    )


def known(model: Any) -> bool:
    """Whether all that is around the layers is the library's own, and in its place."""
    home: str = type(model).__module__
    body: Any = getattr(model, "model", None)  # what its forward calls
    return (
        type(model).__name__ in HEADED
        and home.startswith("transformers.")
        and type(body).__module__ == home
        and type(body.norm).__module__ == type(body.rotary_emb).__module__ == home
        and type(body.embed_tokens) is nn.Embedding
    )


def serves(model: Any) -> bool:
    """Whether the processor and the threads are right, and nobody looks into the model, now."""
    return (
        native.serves(model.get_input_embeddings().weight)
        and not torch.is_autocast_enabled("cpu")
        and not hooked(model)
    )


def hooked(model: Any) -> bool:
    """Whether anything in a model has hooks, or a forward neither its class's nor ours: they would be passed by."""
    return any(
        module._forward_hooks or module._forward_pre_hooks or not ours(module.__dict__.get("forward"))
        for module in model.modules()
    )


def ours(forward: Any) -> bool:
    # What wraps one of ours may bear its names.
    own = str(getattr(forward, "__module__", None)).startswith("fewfit.") and not hasattr(forward, "__wrapped__")
    return forward is None or own


@torch.no_grad()
def decode(
    model: Any,
    blocks: Sequence[Block],
    now: Pass,
    prompts: Sequence[Sequence[int]],
    most: int,
    over: Callable[[int, Sequence[int]], bool],
) -> list[list[int]]:
    """New tokens of each prompt, at most so many, up to where a row is `over` (its place, its new tokens). `now` is a
    pass of the prompts as they are."""
    body = model.model
    lengths = [len(prompt) for prompt in prompts]
    room = -(-(max(lengths) + most) // FILL) * FILL
    rows = len(prompts)
    kept = [empty(block, rows, room) for block in blocks]
    pieces = pieces_of(now, blocks, sum(lengths))

    ids_N = whole([token for prompt in prompts for token in prompt])
    place_N = whole([place for length in lengths for place in range(length)])
    lines = native.lines(tuple((start, start + n, n) for start, n in zip(now.offsets, lengths, strict=False)), False)
    x_ND = body.embed_tokens(ids_N)
    turn = body.rotary_emb(x_ND[None], position_ids=place_N[None])
    for block, own in zip(blocks, kept, strict=True):
        x_ND = through(block, x_ND, pieces, partial(first, turn, block.scaling, lines, own))
    last_R = whole(now.offsets[1:]) - 1
    found = best(model, body.norm(x_ND[last_R]))
    new = [[token] for token in found]
    done = [over(row, some) for row, some in enumerate(new)]

    stepped = now.stepped()
    pieces = pieces_of(stepped, blocks, rows)
    for step in range(1, most):
        if all(done):
            break
        before = [length + step - 1 for length in lengths]
        lines = native.Lines(*(native.numbers(some) for some in (range(rows), before, range(rows))))
        x_ND = body.embed_tokens(whole(found))
        turn = body.rotary_emb(x_ND[None], position_ids=whole(before)[None])
        for block, own in zip(blocks, kept, strict=True):
            x_ND = through(block, x_ND, pieces, partial(following, turn, block.scaling, lines, own))
        found = best(model, body.norm(x_ND))
        for row, token in enumerate(found):
            if not done[row]:  # one that is over only goes along
                new[row].append(token)
                done[row] = over(row, new[row])
    return new


def whole(some: Sequence[int]) -> Tensor:
    return torch.tensor(some, dtype=torch.long, device="cpu")


def first(turn: Turn, scaling: float, lines: native.Lines, kept: native.KeptKeys, *qkv: Tensor) -> Tensor:
    q, k, v = qkv
    return native.attention(q, k, v, turn, scaling, lines, kept)[0]


def following(turn: Turn, scaling: float, lines: native.Lines, kept: native.KeptKeys, *qkv: Tensor) -> Tensor:
    q, k, v = qkv
    return native.attention_next(q, k, v, turn, scaling, lines, kept)


def best(model: Any, x_RD: Tensor) -> list[int]:
    return list(model.get_output_embeddings()(x_RD).argmax(dim=-1).tolist())


def empty(block: Block, rows: int, room: int) -> native.KeptKeys:
    groups = block.qkv.modules[1].out_features // block.head_dim
    # Not what somebody's defaults say: the room that attention.c writes to.
    how: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    keys = torch.empty(rows, groups, block.head_dim, room, **how)
    return native.KeptKeys(keys, torch.empty(rows, groups, room, block.head_dim, **how))


def pieces_of(now: Pass, blocks: Sequence[Block], tokens: int) -> Touching:
    groups = (group for block in blocks for group in (block.qkv, block.o, block.gate_up, block.down))
    return {group: now.pieces(group, tokens) for group in groups}


def through(block: Block, x_ND: Tensor, pieces: Touching, attended: Attended) -> Tensor:
    n_ND, _ = normed(x_ND, *block.norms[0], False)
    qkv, _ = linear(n_ND, block.qkv, pieces, False)
    q, k, v = (part.view(1, len(x_ND), -1, block.head_dim) for part in qkv)
    if block.head_norms:
        (q, _), (k, _) = (normed(part, *norm, False) for part, norm in zip((q, k), block.head_norms, strict=True))
    y_ND, _ = linear_onto(x_ND, attended(q, k, v), block.o, pieces, False)
    m_ND, _ = normed(y_ND, *block.norms[1], False)
    (gate_NF, up_NF), _ = linear(m_ND, block.gate_up, pieces, False)
    out_ND, _ = linear_onto(y_ND, gated(gate_NF, up_NF, False), block.down, pieces, False)
    return out_ND
