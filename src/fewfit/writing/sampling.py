"""What is done to the logits of the next token before the largest of them is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fewfit import draw
from fewfit.writing.decoding import Decoding

Adjust = Callable[[Sequence[int], int, Any, Any], Any]


def adjustment(decoding: Decoding, keys: Sequence[str]) -> Adjust | None:
    """transformers' own processors in its own order: the penalty (on prompt and written tokens), the temperature, the
    nucleus. The arg-max of what they leave plus Gumbel noise is a sample; the noise is by hash, so that it is the same
    whoever shares the pass. None where nothing is to be done."""
    from transformers import (
        LogitsProcessorList,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopPLogitsWarper,
    )

    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(float(decoding.repetition_penalty)))
    if not decoding.is_greedy:
        processors.append(TemperatureLogitsWarper(float(decoding.temperature)))
        if decoding.top_p < 1:
            processors.append(TopPLogitsWarper(float(decoding.top_p)))
    if not processors:
        return None

    def adjusted(indices: Sequence[int], step: int, ids_BT: Any, logits_BV: Any) -> Any:
        logits_BV = processors(ids_BT, logits_BV.float())
        if decoding.is_greedy:
            return logits_BV
        return logits_BV + noise([keys[index] for index in indices], step, decoding.seed, logits_BV)

    return adjusted


def noise(keys: Sequence[str], step: int, seed: int, logits_BV: Any) -> Any:
    import torch

    rows = []
    for key in keys:
        generator = torch.Generator().manual_seed(draw.number(seed, key, "sample", step) >> 1)
        uniform_V = torch.rand(logits_BV.shape[1], generator=generator)
        rows.append(-torch.log(-torch.log(uniform_V.clamp(1e-12, 1 - 1e-7))))
    return torch.stack(rows).to(logits_BV.device)
