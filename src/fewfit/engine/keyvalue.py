"""Choices of several tokens over the keys and values of the forward that scored the prompt: no second pass over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from fewfit.engine.forward import head_on_rows
from fewfit.engine.learner import Row

USABLE = {"full_attention", "sliding_attention", "chunked_attention"}  # layers that are keys and values and no more


class KeptLayer(DynamicLayer):
    """Remembers the keys and values of one forward without copying them, sliding windows or not."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.is_initialized:
            raise RuntimeError("a cache that is kept sees one forward only")
        self.lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states.detach(), value_states.detach()
        return key_states, value_states


def kept() -> Cache:
    return Cache(layer_class_to_replicate=KeptLayer)


def usable(model: Any) -> bool:
    """Whether the model remembers by keys and values alone. Recurrent state cannot be cut back to a prompt."""
    config = model.config.get_text_config(decoder=True)
    types = getattr(config, "layer_types", None)
    if types is not None:
        return set(types) <= USABLE
    return not any(hasattr(config, name) for name in ("state_size", "ssm_cfg", "conv_kernel", "rwkv_version"))


def logp_after(
    model: Any,
    cache: Cache,
    rows: Sequence[tuple[int, Row]],
    first_RV: Tensor,
    using: Callable[[Sequence[int]], AbstractContextManager[Any]],
) -> list[tuple[float, ...]]:
    """Log p of each whole choice of some rows of a forward.

    `rows` are (place in that forward's batch, row); `first_RV` the logits behind each one's prompt; `using` sets the
    row-to-lane map for a batch, given each row's place in that forward.
    """
    device = first_RV.device
    first_RV = torch.log_softmax(first_RV.detach(), dim=-1).double()
    sums = [[float(first_RV[r, choice[0]]) for choice in row.choices] for r, (_, row) in enumerate(rows)]
    longer = [(r, c) for r, (_, row) in enumerate(rows) for c, choice in enumerate(row.choices) if len(choice) > 1]
    if not longer:
        return [tuple(one) for one in sums]
    source = [rows[r][0] for r, _ in longer]
    prompts = [rows[r][1].prompt_tokens for r, _ in longer]
    tails = [rows[r][1].choices[c] for r, c in longer]
    most, width = max(prompts), max(len(tail) for tail in tails) - 1
    ids_ST = torch.zeros(len(longer), width, dtype=torch.long)
    mask_ST = torch.ones(len(longer), most + width, dtype=torch.long)
    place_ST = torch.arange(width) + torch.tensor(prompts)[:, None]
    for s, tail in enumerate(tails):
        ids_ST[s, : len(tail) - 1] = torch.tensor(tail[:-1])
        mask_ST[s, : most - prompts[s]] = 0
    row_N = [s for s, tail in enumerate(tails) for _ in tail[1:]]
    place_N = [p for tail in tails for p in range(len(tail) - 1)]
    wanted_N = torch.tensor([token for tail in tails for token in tail[1:]], device=device)
    past = DynamicCache()
    for index, layer in enumerate(cache.layers):
        past.update(*(right_aligned(part, source, prompts, most) for part in (layer.keys, layer.values)), index)
    with (
        torch.no_grad(),
        using(source),
        head_on_rows(model, torch.tensor(row_N, device=device), torch.tensor(place_N, device=device)),
    ):
        logits_NV = model(
            input_ids=ids_ST.to(device),
            attention_mask=mask_ST.to(device),
            position_ids=place_ST.to(device),
            past_key_values=past,
            use_cache=True,
        ).logits[0]
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    logp_N = -torch.nn.functional.cross_entropy(logits_NV, wanted_N, reduction="none").double()
    tail_S = torch.zeros(len(longer), dtype=torch.float64).index_add_(0, torch.tensor(row_N), logp_N.cpu())
    for (r, c), more in zip(longer, tail_S.tolist(), strict=True):
        sums[r][c] += more
    return [tuple(one) for one in sums]


def right_aligned(part_BHTD: Tensor, source: Sequence[int], prompts: Sequence[int], most: int) -> Tensor:
    """Each source row's prompt, moved to end at `most`: distances to the tokens that follow stay true under windows."""
    if min(prompts) == most:
        return part_BHTD[list(source), :, :most]
    out_SHTD = part_BHTD.new_zeros(len(source), part_BHTD.shape[1], most, part_BHTD.shape[3])
    for s, (b, length) in enumerate(zip(source, prompts, strict=True)):
        out_SHTD[s, :, most - length :] = part_BHTD[b, :, :length]
    return out_SHTD
