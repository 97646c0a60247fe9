"""Keys and values of what many prompts begin with, computed once and used behind by any number of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fewfit.engine.forward import head_on_rows

# Rotary angles of these depend on the length of the whole sequence, so keys cannot be computed before it is known.
LENGTH_BOUND_ROPE = {"dynamic", "longrope"}
LAYER_TYPES = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Prefix:
    """`window` is the shortest sliding window of the model's layers, None where all see everything."""

    ids: tuple[int, ...]
    layers: tuple[Any, ...]
    window: int | None

    def begins(self, ids: Sequence[int]) -> bool:
        return len(ids) > len(self.ids) and tuple(ids[: len(self.ids)]) == self.ids

    def cache(self, rows: int) -> Any:
        """A cache for so many rows. Layers grow by making new tensors, so all rows and calls may share these."""
        from transformers import DynamicCache

        past = DynamicCache()
        past.layers = []
        for layer in self.layers:
            fresh = copy.copy(layer)
            fresh.keys = layer.keys.expand(rows, -1, -1, -1)
            fresh.values = layer.values.expand(rows, -1, -1, -1)
            past.layers.append(fresh)
        return past


def prefix(model: Any, ids: Sequence[int]) -> Prefix | None:
    """None where the model's memory is not keys and values by position: its prompts are then computed whole."""
    import torch
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    if not ids or not keeps_positions(model.config):
        return None
    device = next(model.parameters()).device
    row = torch.tensor([list(ids)], dtype=torch.long, device=device)
    nowhere = torch.zeros(1, dtype=torch.long, device=device)
    with torch.no_grad(), head_on_rows(model, nowhere, nowhere):
        past = getattr(model(input_ids=row, use_cache=True), "past_key_values", None)
    layers = tuple(getattr(past, "layers", ()))
    usable = (DynamicLayer, DynamicSlidingWindowLayer)
    if not layers or any(type(layer) not in usable or not layer.is_initialized for layer in layers):
        return None
    windows = [layer.sliding_window for layer in layers if layer.is_sliding]
    return Prefix(tuple(ids), layers, min(windows, default=None))


def keeps_positions(config: Any) -> bool:
    text = config.get_text_config(decoder=True)
    types = getattr(text, "layer_types", None)
    if types is not None and not set(types) <= LAYER_TYPES:
        return False
    return not LENGTH_BOUND_ROPE & set(rope_types(getattr(text, "rope_parameters", None)))


def goes_by_length(model: Any) -> bool:
    """Whether a row's numbers depend on how long the pass is: a window in any layer, or angles by the longest row."""
    text = model.config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    window = set(kinds) - {"full_attention"} if kinds else getattr(text, "sliding_window", None) is not None
    return bool(window) or bool(LENGTH_BOUND_ROPE & set(rope_types(getattr(text, "rope_parameters", None))))


def rope_types(parameters: Any) -> Iterator[str]:
    """One set of parameters, or one for every type of layer."""
    if isinstance(parameters, Mapping):
        for key, value in parameters.items():
            if key in ("rope_type", "type"):
                yield str(value)
            else:
                yield from rope_types(value)


def logits_behind(model: Any, prefix: Prefix, ids: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> Any:
    """As `forward.logits_at`, for rows that all begin with the prefix and places that all lie behind it.

    What follows the prefix is padded on the right, so neither mask nor positions need saying.
    """
    import torch

    start = len(prefix.ids)
    device = next(model.parameters()).device
    longest = max(len(row) for row in ids) - start
    ids_BT = torch.zeros(len(ids), longest, dtype=torch.long)
    for b, row in enumerate(ids):
        ids_BT[b, : len(row) - start] = torch.tensor(row[start:], dtype=torch.long)
    row_N = torch.tensor([b for b, some in enumerate(places) for _ in some], dtype=torch.long, device=device)
    place_N = torch.tensor([p - start for some in places for p in some], dtype=torch.long, device=device)
    with torch.no_grad(), head_on_rows(model, row_N, place_N):
        logits_NV = model(input_ids=ids_BT.to(device), past_key_values=prefix.cache(len(ids)), use_cache=True).logits[0]
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
