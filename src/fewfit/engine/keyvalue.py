"""Choices of several tokens over the keys and values of the forward that scored the prompt: no second pass over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from fewfit.engine.forward import head_on_rows, logits_at, padded_ids
from fewfit.engine.learner import Row, Track
from fewfit.engine.places import BUCKET, bucket
from fewfit.engine.score import choice_rows, sum_logp
from fewfit.engine.sharing import Shared
from fewfit.models import library

TOKENS = 4096
USABLE = {"full_attention", "sliding_attention", "chunked_attention"}  # layers that are keys and values and no more


def usable(model: Any) -> bool:
    """Whether the model remembers by keys and values alone (recurrent state cannot be cut back to a prompt), and what
    is kept of one forward really serves the next."""
    config = model.config.get_text_config(decoder=True)
    types = getattr(config, "layer_types", None)
    if types is not None and not set(types) <= USABLE:
        return False
    if types is None and any(
        hasattr(config, name) for name in ("state_size", "ssm_cfg", "conv_kernel", "rwkv_version")
    ):
        return False
    return library.proven(model, "scoring choices over kept keys", proof)


def proof(model: Any) -> bool:
    """Choices of one to four tokens behind prompts of two lengths, over kept keys and by whole forwards."""
    track = Track("proof", 0)
    size = model.get_input_embeddings().weight.shape[0]
    prompts = [tuple(n * 7 % size for n in range(3, 3 + length)) for length in (6, 9)]
    choices = tuple(tuple(n * k % size for n in range(5, 6 + k)) for k in range(4))
    rows = [Row(track, (*prompt, 1), ((len(prompt), len(prompt) + 1),), (), choices) for prompt in prompts]
    device = next(model.parameters()).device
    ids_BT = padded_ids([row.ids for row in rows], longest=BUCKET)
    cache = library.kept_cache()
    with torch.no_grad():
        out = model(input_ids=ids_BT.to(device), use_cache=True, **library.cache_argument(model, cache)).logits
        first_RV = torch.stack([out[b, row.prompt_tokens - 1] for b, row in enumerate(rows)]).float()
        found = logp_after(model, cache, list(enumerate(rows)), first_RV, lambda places: nullcontext())
        whole = [sum_logp(logits_at(model, *choice_rows(row)), row.choices) for row in rows]
    pairs = [pair for a, b in zip(found, whole, strict=True) for pair in zip(a, b, strict=True)]
    return sum(abs(a - b) for a, b in pairs) <= library.tolerance(model) * sum(abs(b) for _, b in pairs)


def logp_after(
    model: Any,
    cache: Any,
    rows: Sequence[tuple[int, Row]],
    first_RV: Tensor,
    using: Callable[[Sequence[int]], AbstractContextManager[Any]],
    below: Shared | None = None,
) -> list[tuple[float, ...]]:
    """Log p of each whole choice of some rows of a forward.

    `rows` are (place in that forward's batch, row); `first_RV` the logits behind each one's prompt; `using` sets the
    row-to-lane map for a batch, given each row's place in that forward; `below` says where it held rows in common.
    """
    first_RV = torch.log_softmax(first_RV.detach(), dim=-1)
    sums = [[float(first_RV[r, choice[0]]) for choice in row.choices] for r, (_, row) in enumerate(rows)]
    # Batches by length, so that a row's padding, and with it its rounding, does not depend on who shares the pass.
    batches: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for r, (_, row) in enumerate(rows):
        most = bucket(row.prompt_tokens)
        width = max(len(choice) for choice in row.choices) - 1
        for c, choice in enumerate(row.choices):
            if len(choice) > 1:
                batches.setdefault((most, width), []).append((r, c))
    for most, width, asked in parts(batches):
        # Products of fewer than 16 rows are rounded otherwise.
        padded = asked + asked[-1:] * max(0, -(-BUCKET // width) - len(asked))
        tails = [(rows[r][0], rows[r][1].prompt_tokens, rows[r][1].choices[c]) for r, c in padded]
        for (r, c), more in zip(asked, tail_logp(model, cache, tails, most, width, using, below), strict=False):
            sums[r][c] += more
    return [tuple(one) for one in sums]


def parts(batches: dict[tuple[int, int], list[tuple[int, int]]]) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Each choice has a copy of its prompt's keys and values: no more of them at once than a pass has tokens."""
    for (most, width), asked in batches.items():
        size = max(BUCKET, TOKENS // (most + width))
        for start in range(0, len(asked), size):
            yield most, width, asked[start : start + size]


def tail_logp(
    model: Any,
    cache: Any,
    tails: Sequence[tuple[int, int, tuple[int, ...]]],
    most: int,
    width: int,
    using: Callable[[Sequence[int]], AbstractContextManager[Any]],
    below: Shared | None,
) -> list[float]:
    """Log p of what follows each choice's first token; `tails` are (place in the batch, prompt tokens, choice)."""
    source, prompts, choices = zip(*tails, strict=True)
    ids_ST = torch.zeros(len(tails), width, dtype=torch.long)
    mask_ST = torch.ones(len(tails), most + width, dtype=torch.long)
    place_ST = torch.arange(width) + torch.tensor(prompts)[:, None]
    for s, (prompt, choice) in enumerate(zip(prompts, choices, strict=True)):
        ids_ST[s, : len(choice) - 1] = torch.tensor(choice[:-1])
        mask_ST[s, : most - prompt] = 0
    row_N = torch.tensor([s for s, choice in enumerate(choices) for _ in choice[1:]])
    place_N = torch.tensor([p for choice in choices for p in range(len(choice) - 1)])
    wanted_N = torch.tensor([token for choice in choices for token in choice[1:]])
    aligned = []
    for index, layer in enumerate(cache.layers):
        common = below is not None and index < below.layer
        rows = [below.place[b] for b in source] if below is not None and common else source
        keys, values = (right_aligned(part, rows, prompts, most) for part in (layer.keys, layer.values))
        aligned.append((keys, values))
    device = cache.layers[0].keys.device
    with torch.no_grad(), using(source), head_on_rows(model, row_N.to(device), place_N.to(device)):
        logits_NV = model(
            input_ids=ids_ST.to(device),
            attention_mask=mask_ST.to(device),
            position_ids=place_ST.to(device),
            use_cache=True,
            **library.cache_argument(model, library.filled_cache(aligned)),
        ).logits[0]
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    logp_N = -torch.nn.functional.cross_entropy(logits_NV, wanted_N.to(device), reduction="none").cpu().double()
    return torch.zeros(len(tails), dtype=torch.float64).index_add_(0, row_N, logp_N).tolist()


def right_aligned(part_BHTD: Tensor, source: Sequence[int], prompts: Sequence[int], most: int) -> Tensor:
    """Each source row's prompt, moved to end at `most`: distances to the tokens that follow stay true under windows."""
    if min(prompts) == most:
        return part_BHTD[list(source), :, :most]
    out_SHTD = part_BHTD.new_zeros(len(source), part_BHTD.shape[1], most, part_BHTD.shape[3])
    for s, (b, length) in enumerate(zip(source, prompts, strict=True)):
        out_SHTD[s, :, most - length :] = part_BHTD[b, :, :length]
    return out_SHTD
