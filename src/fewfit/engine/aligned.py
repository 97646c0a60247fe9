"""Text behind a beginning that many prompts share, whatever their lengths, sliding windows or not.

Each prompt's own tokens are computed once, behind the kept beginning; then keys and values are moved so that all
prompts of a batch end at one place, and they are gone on with together. Padding stands on the left of all, where
neither a window nor a position counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fewfit.engine.beginning import are_likeliest
from fewfit.engine.forward import head_on_rows, padded_ids
from fewfit.engine.generate import greedy
from fewfit.engine.prefix import keeps_positions
from fewfit.models import library

Layers = tuple[tuple[Any, Any], ...]  # keys and values, layer by layer


@dataclass(frozen=True)
class Beginning:
    """Of all its tokens, also those that a sliding window does not see any more. It may be empty."""

    ids: tuple[int, ...]
    layers: Layers

    def begins(self, ids: Sequence[int]) -> bool:
        return len(ids) > max(1, len(self.ids)) and tuple(ids[: len(self.ids)]) == self.ids


def beginning(model: Any, ids: Sequence[int]) -> Beginning | None:
    """None where the model's memory is not keys and values by position."""
    if not keeps_positions(model.config) or not library.proven(model, "text behind a beginning", proof):
        return None
    return computed(model, ids) if ids else Beginning((), ())


def computed(model: Any, ids: Sequence[int]) -> Beginning:
    cache = library.kept_cache()
    remember(model, padded_ids([ids]), cache)
    return Beginning(tuple(ids), tuple((layer.keys, layer.values) for layer in cache.layers))


def write_behind(
    model: Any,
    kept: Beginning,
    prompts: Sequence[Sequence[int]],
    *,
    batch: int,
    longest: int,
    max_new_tokens: int,
    **how: Any,
) -> list[tuple[int, ...]]:
    """As `generate.greedy`, whose keywords `how` are. `longest` is where all prompts end, or further on: the same for
    all that may ever share a batch, so that a row does not hang on its neighbours."""
    own = {prompt: remembered(model, kept, prompt) for prompt in {tuple(prompt) for prompt in prompts}}

    def behind(indices: Sequence[int], end: int) -> Any:
        rows = [own[tuple(prompts[index])] for index in indices]
        return right_aligned(model, rows, end - 1, max_new_tokens)

    return greedy(model, prompts, batch=batch, behind=behind, longest=longest, max_new_tokens=max_new_tokens, **how)


def remembered(model: Any, kept: Beginning, prompt: tuple[int, ...]) -> Layers:
    """Of all of a prompt but its last token. By itself, so that it is rounded alike beside any other."""
    start = len(kept.ids)
    if len(prompt) == start + 1:
        return kept.layers
    cache = library.filled_cache(kept.layers)
    remember(model, padded_ids([prompt[:-1]], start), cache)
    return tuple((layer.keys, layer.values) for layer in cache.layers)


def remember(model: Any, ids_BT: Any, cache: Any) -> None:
    device = next(model.parameters()).device
    nowhere = torch.zeros(1, dtype=torch.long, device=device)
    with torch.inference_mode(), head_on_rows(model, nowhere, nowhere):
        model(input_ids=ids_BT.to(device), use_cache=True, **library.cache_argument(model, cache))


def right_aligned(model: Any, rows: Sequence[Layers], end: int, more: int) -> Any:
    """A cache in which each row's tokens end at `end`, with room for `more` behind it."""
    layers = []
    for same in zip(*rows, strict=True):  # one layer of all rows
        rooms = []
        for parts in zip(*same, strict=True):  # all rows' keys, then all rows' values
            _, heads, _, width = parts[0].shape
            room_BHTD = parts[0].new_zeros(len(rows), heads, end + more, width)
            for b, part_1HTD in enumerate(parts):
                room_BHTD[b, :, end - part_1HTD.shape[2] : end] = part_1HTD[0]
            rooms.append(room_BHTD)
        layers.append((rooms[0], rooms[1]))
    return library.roomy_cache(model, layers, end)


def proof(model: Any) -> bool:
    """What is written behind a beginning, by rows of unlike lengths, is what whole forwards find likeliest."""
    size = model.get_input_embeddings().weight.shape[0]
    start = tuple(n * 5 % size for n in range(3, 35))
    rows = [(*start, *(n * 11 % size for n in range(length))) for length in (1, 3, 9)]
    texts = write_behind(
        model, computed(model, start), rows, batch=3, longest=48, max_new_tokens=3, end_ids=frozenset()
    )
    return are_likeliest(model, rows, texts)
