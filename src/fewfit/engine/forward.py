"""Logits of a causal model at answer positions only, with the model's own head and everything that it does after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def head_on_rows(model: Any, row_N: Any, place_N: Any) -> Iterator[None]:
    """The output head sees hidden states [row, place] only: the vocabulary is the dearest product at small widths.

    A pre-hook on the head, so soft-capping and scaling of the logits stay the model's own.
    """
    head = model.get_output_embeddings()

    def gather(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden_BTD = args[0]
        return (hidden_BTD[row_N, place_N].unsqueeze(0), *args[1:])

    handle = head.register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def even_head(model: Any) -> Iterator[None]:
    """`generate` hands the head a slice of the states. What is not contiguous, torch multiplies in bf16 on a CPU with a
    copy of the head's weights for every row: 80% of all time at a vocabulary of 262,144."""
    handle = model.get_output_embeddings().register_forward_pre_hook(
        lambda _module, args: (args[0].contiguous(), *args[1:])
    )
    try:
        yield
    finally:
        handle.remove()


SHORT = 1024  # tokens: beyond it the scores of all pairs take more memory than they save time


@contextmanager
def trained_attention(model: Any, tokens: int) -> Iterator[None]:
    """In bf16 on a CPU the backward of torch's fused attention costs more than its forward saves: a training step
    of SmolLM2 at 48 tokens is 8% faster without it."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    weight = next(model.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16 or tokens > SHORT:
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield


def padded_ids(rows: Sequence[Sequence[int]], start: int = 0, longest: int | None = None) -> Any:
    """Ids_BT of what each row holds from `start` on, filled up on the right."""
    import torch

    longest = max(map(len, rows)) - start if longest is None else longest
    ids_BT = torch.zeros(len(rows), longest, dtype=torch.long)
    for b, row in enumerate(rows):
        ids_BT[b, : len(row) - start] = torch.tensor(row[start:], dtype=torch.long)
    return ids_BT


def logits_at(model: Any, ids: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> Any:
    """Logits_NV (fp32 at least) after ids[b][:place + 1] for each place of each row, rows in turn.

    Rows are padded on the right and no mask is passed: causal attention never looks there, and a mask would cost the
    fast attention path.
    """
    import torch

    device = next(model.parameters()).device
    row_N = torch.tensor([b for b, some in enumerate(places) for _ in some], dtype=torch.long, device=device)
    place_N = torch.tensor([p for some in places for p in some], dtype=torch.long, device=device)
    with head_on_rows(model, row_N, place_N):
        logits_1NV = model(input_ids=padded_ids(ids).to(device), use_cache=False).logits
    logits_NV = logits_1NV[0]
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
