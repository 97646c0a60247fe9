"""A beginning that many prompts share, kept where the model at hand proves that it serves what it is used for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fewfit.engine.forward import logits_at
from fewfit.engine.generate import greedy
from fewfit.engine.prefix import Prefix, computed, keeps_positions, logits_behind
from fewfit.models import library


def prefix(model: Any, ids: Sequence[int]) -> Prefix | None:
    """None where the model's memory is not keys and values by position: its prompts are then computed whole."""
    if not ids or not keeps_positions(model.config) or not library.proven(model, "a shared beginning", proof):
        return None
    return computed(model, ids)


def proof(model: Any) -> bool:
    """Logits behind a beginning are those of whole rows, at least by half nearer than those of rows that lack its last
    token; and so are the tokens that `generate` writes behind it."""
    size = model.get_input_embeddings().weight.shape[0]
    start = tuple(n * 5 % size for n in range(3, 11))
    kept = computed(model, start)
    if kept is None:
        return False
    rows = [(*start, *(n * 11 % size for n in range(length))) for length in (3, 5)]
    places = [[len(row) - 2, len(row) - 1] for row in rows]
    bound = 5 * library.tolerance(model)  # in bf16 Gemma 3 270M is 0.06 of their deviation from itself
    with torch.no_grad():
        whole_NV, behind_NV = logits_at(model, rows, places), logits_behind(model, kept, rows, places)
        last = len(start) - 1
        lacking = [row[:last] + row[last + 1 :] for row in rows]
        lacking_NV = logits_at(model, lacking, [[place - 1 for place in some] for some in places])
        gap, other = (float((whole_NV - some_NV).abs().mean()) for some_NV in (behind_NV, lacking_NV))
        if gap > min(bound * float(whole_NV.std()), 0.5 * other):
            return False
        written = greedy(model, rows, max_new_tokens=3, end_ids=frozenset(), past=kept)
        return are_likeliest(model, rows, written)


def are_likeliest(model: Any, rows: Sequence[tuple[int, ...]], written: Sequence[tuple[int, ...]]) -> bool:
    """Each token written is the arg-max of a whole forward, or a tie with it."""
    with torch.no_grad():
        for row, text in zip(rows, written, strict=True):
            logits_TV = logits_at(model, [row + text[:-1]], [list(range(len(row) - 1, len(row) + len(text) - 1))])
            lead_T = logits_TV.max(dim=-1).values - logits_TV[range(len(text)), list(text)]
            if float(lead_T.max()) > 5 * library.tolerance(model) * float(logits_TV.std()):
                return False
    return True
