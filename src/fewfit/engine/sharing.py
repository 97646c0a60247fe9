"""What lies below the first adapter runs once for all rows of equal tokens.

Lanes of equal shots, seed and update hold identical tokens; where only the upper layers carry adapters, half of the
forward is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewfit.engine.recompute import layers_of
from fewfit.engine.rowmap import Pass
from fewfit.engine.targets import layer_prefixes
from fewfit.models.library import proven, tolerance


class Shared(NamedTuple):
    """Rows below layer `layer` are `rows` of the batch, and row b of the batch is the `place`[b]-th of them."""

    layer: int
    rows: list[int]
    place: list[int]


def shared(now: Pass, layers: Sequence[str], ids: Sequence[tuple[int, ...]]) -> Shared | None:
    """None where nothing would be saved. `layers` are the prefixes of the decoder layers' modules, in order."""
    touched = [any(name.startswith(prefix) for name in now.touched) for prefix in layers]
    first = touched.index(True) if True in touched else 0
    if first == 0:
        return None
    seen: dict[tuple[int, ...], int] = {}
    place = [seen.setdefault(row, len(seen)) for row in ids]
    if len(seen) == len(ids):
        return None
    return Shared(first, [place.index(u) for u in range(len(seen))], place)


def layers_where_proven(model: Any) -> list[str]:
    """The prefixes of its decoder layers' modules; none of a model whose rows cannot share them."""
    return layer_prefixes(model) if proven(model, "rows that share the lower layers", proof, aloud=False) else []


def proof(model: Any) -> bool:
    """Whether the upper half on rows that shared the lower one gives what it gives on rows of their own. Not where a
    layer takes more from below than hidden states and a mask (Bloom's slopes, Gemma 4's keys)."""
    layers = layers_of(model)
    few_UT = torch.arange(40).reshape(2, 20) % model.get_input_embeddings().num_embeddings
    found = Shared(len(layers) // 2, [0, 1], [0, 1, 0])
    with torch.no_grad():
        at = next(model.parameters()).device
        whole = model(input_ids=few_UT[found.place].to(at), use_cache=False).logits
        with widened(layers, found):
            shared = model(input_ids=few_UT.to(at), use_cache=False).logits
    return float((whole - shared).abs().max()) <= tolerance(model) * float(whole.abs().max())


@contextmanager
def widened(layers: Sequence[nn.Module], found: Shared | None) -> Iterator[None]:
    """From layer `found.layer` on each row of the batch is its own."""
    if found is None:
        yield
        return
    few, place = len(found.rows), torch.tensor(found.place)

    def wide(value: Any) -> Any:
        # Masks come with a row for each that there was below; rotary embeddings and the like have one for all.
        if few > 1 and isinstance(value, Tensor) and value.dim() == 4 and len(value) == few:
            return value[place.to(value.device)]
        return value

    def hook(first: bool) -> Any:
        def before(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            args, kwargs = list(map(wide, args)), {name: wide(value) for name, value in kwargs.items()}
            if first:
                hidden = args[0] if args else kwargs["hidden_states"]
                hidden = hidden[place.to(hidden.device)]
                if args:
                    args[0] = hidden
                else:
                    kwargs["hidden_states"] = hidden
            return tuple(args), kwargs

        return before

    handles = [
        layer.register_forward_pre_hook(hook(index == found.layer), with_kwargs=True)
        for index, layer in enumerate(layers)
        if index >= found.layer
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
