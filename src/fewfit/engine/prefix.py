"""Keys and values of what many prompts begin with, computed once and used behind by any number of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fewfit.engine.forward import head_on_rows, padded_ids
from fewfit.models import library

# Rotary angles of these depend on the length of the whole sequence, so keys cannot be computed before it is known.
LENGTH_BOUND_ROPE = {"dynamic", "longrope"}
LAYER_TYPES = {"full_attention", "sliding_attention"}
WORTH_KEEPING = 16  # tokens: a shorter beginning costs less than the care for it


@dataclass(frozen=True)
class Prefix:
    """`window` is the shortest sliding window of the model's layers, None where all see everything."""

    ids: tuple[int, ...]
    layers: tuple[Any, ...]
    window: int | None

    def begins(self, ids: Sequence[int]) -> bool:
        return len(ids) > len(self.ids) and tuple(ids[: len(self.ids)]) == self.ids

    def cache(self, rows: int) -> Any:
        return library.cache_of_copies(self.layers, rows)


def computed(model: Any, ids: Sequence[int]) -> Prefix | None:
    import torch

    device = next(model.parameters()).device
    row = torch.tensor([list(ids)], dtype=torch.long, device=device)
    nowhere = torch.zeros(1, dtype=torch.long, device=device)
    with torch.no_grad(), head_on_rows(model, nowhere, nowhere):
        layers = library.copyable_layers(library.returned_cache(model(input_ids=row, use_cache=True)))
    if not layers:
        return None
    windows = [layer.sliding_window for layer in layers if layer.is_sliding]
    return Prefix(tuple(ids), layers, min(windows, default=None))


def keeps_positions(config: Any) -> bool:
    text = config.get_text_config(decoder=True)
    types = getattr(text, "layer_types", None)
    if types is not None and not set(types) <= LAYER_TYPES:
        return False
    return not LENGTH_BOUND_ROPE & set(rope_types(getattr(text, "rope_parameters", None)))


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
    ids_BT = padded_ids(ids, start)
    row_N = torch.tensor([b for b, some in enumerate(places) for _ in some], dtype=torch.long, device=device)
    place_N = torch.tensor([p - start for some in places for p in some], dtype=torch.long, device=device)
    with torch.no_grad(), head_on_rows(model, row_N, place_N):
        past = library.cache_argument(model, prefix.cache(len(ids)))
        logits_NV = model(input_ids=ids_BT.to(device), use_cache=True, **past).logits[0]
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
