"""Many prompts and their answers in one row of tokens: what they begin with is read once and copied for none of them.

Each token sees the kept beginning, its own prompt and its own answer, said by a mask and by places of its own. Behind a
beginning of two thousand tokens a question of four short answers costs what its own thirty tokens cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fewfit.engine.forward import head_on_rows, logits_at
from fewfit.engine.prefix import Prefix, computed, keeps_positions
from fewfit.models import library

Ids = tuple[int, ...]
TOKENS = 512  # of one row: every pair of its tokens is compared, whoever they belong to


def usable(model: Any) -> bool:
    return keeps_positions(model.config) and library.proven(model, "scoring many answers in one row", proof)


def proof(model: Any) -> bool:
    """With and without a beginning, tokens are as likely as in whole rows, and not as in rows that lack one."""
    size = model.get_input_embeddings().weight.shape[0]
    start = tuple(n * 5 % size for n in range(3, 15))
    prompts = [(*start, *(n * 11 % size for n in range(length))) for length in (3, 6)]
    tails = [[tuple(n * k % size for n in range(5, 5 + k)) for k in (1, 3)], [(7 % size, 9 % size)]]
    rows = [(*prompt, *tail) for prompt, some in zip(prompts, tails, strict=True) for tail in some]
    with torch.no_grad():
        whole_NV = torch.log_softmax(logits_at(model, rows, [[len(row) - 1] for row in rows]), dim=-1)
        lacking_NV = torch.log_softmax(
            logits_at(model, [row[1:] for row in rows], [[len(r) - 2] for r in rows]), dim=-1
        )
    other = (whole_NV - lacking_NV).abs().mean()
    bound = 5 * library.tolerance(model) * float(whole_NV.std())
    for past in (None, computed(model, start)):
        found = logits(model, past, prompts, tails)
        ends = [some[at] for some, asked in zip(found, tails, strict=True) for at in last_places(asked)]
        gap = (torch.log_softmax(torch.stack(ends), dim=-1) - whole_NV).abs().mean()
        if float(gap) > min(bound, 0.5 * float(other)):
            return False
    return True


def last_places(tails: Sequence[Ids]) -> list[int]:
    """Of each tail's last token, among the logits of its prompt."""
    out, end = [], 0
    for tail in tails:
        end += len(tail)
        out.append(end)
    return out


def logits(model: Any, past: Prefix | None, prompts: Sequence[Ids], tails: Sequence[Sequence[Ids]]) -> list[Tensor]:
    """Of each prompt Logits_NV: behind the prompt itself, then behind each token of each tail that follows it."""
    start = 0 if past is None else len(past.ids)
    ids, place, owner, branch = list[int](), list[int](), list[int](), list[int]()
    wanted, sizes = list[int](), list[int]()
    for n, (prompt, some) in enumerate(zip(prompts, tails, strict=True)):
        own = prompt[start:]
        began = len(ids)
        for b, part in enumerate([own, *some]):
            first = start if b == 0 else len(prompt)
            ids += part
            place += range(first, first + len(part))
            owner += [n] * len(part)
            branch += [b] * len(part)
        wanted += range(began + len(own) - 1, len(ids))
        sizes.append(len(ids) - began - len(own) + 1)
    device = next(model.parameters()).device
    place_T, owner_T, branch_T = (torch.tensor(some, device=device) for some in (place, owner, branch))
    order_T = torch.arange(len(ids), device=device)
    same_TT = owner_T[:, None] == owner_T[None, :]
    within_TT = (branch_T[None, :] == 0) | (branch_T[:, None] == branch_T[None, :])
    seen_TT = same_TT & within_TT & (order_T[None, :] <= order_T[:, None])
    place_N = torch.tensor(wanted, device=device)
    with torch.no_grad(), head_on_rows(model, torch.zeros_like(place_N), place_N):
        cache = {} if past is None else library.cache_argument(model, past.cache(1))
        found_NV = model(
            input_ids=torch.tensor([ids], device=device),
            attention_mask=masks(model, past, seen_TT, place_T, place_T),
            position_ids=place_T[None],
            use_cache=past is not None,
            **cache,
        ).logits[0]
    return list((found_NV if found_NV.dtype == torch.float64 else found_NV.float()).split(sizes))


def masks(model: Any, past: Prefix | None, seen_TK: Tensor, place_T: Tensor, place_K: Tensor) -> Any:
    """What each token sees: all of what is kept, and of K others those that `seen_TK` says, as far as a window goes.
    One mask, or one by kind of layer."""
    config = model.config.get_text_config(decoder=True)
    window = getattr(config, "sliding_window", None)
    # Models from before there were kinds of layers have one mask for all of them.
    kinds = getattr(config, "layer_types", None) or ["full_attention" if window is None else "sliding_attention"]
    made = {}
    for kind in dict.fromkeys(kinds):
        kept = 0 if past is None else past.layers[kinds.index(kind)].keys.shape[-2]
        start = 0 if past is None else len(past.ids)
        from_K = torch.cat([torch.arange(start - kept, start, device=place_K.device), place_K])
        seen = torch.cat([seen_TK.new_ones(len(place_T), kept), seen_TK], dim=1)
        if kind == "sliding_attention":
            assert window is not None
            seen &= place_T[:, None] - from_K[None, :] < window
        mask = torch.zeros(seen.shape, dtype=model.dtype, device=seen.device)
        made[kind] = mask.masked_fill_(~seen, torch.finfo(model.dtype).min)[None, None]
    return made if len(made) > 1 else next(iter(made.values()))


def rows(past: Prefix | None, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> Iterator[list[int]]:
    """Prompts that share a row, in their order: of so many tokens, or one."""
    start = 0 if past is None else len(past.ids)
    row: list[int] = []
    total = 0
    for n, (prompt, some) in enumerate(zip(prompts, answers, strict=True)):
        size = len(prompt) - start + sum(map(len, some))
        if row and total + size > TOKENS:
            yield row
            row, total = [], 0
        row.append(n)
        total += size
    if row:
        yield row
