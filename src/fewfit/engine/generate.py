"""Greedy text, batched, up to the end mark: one set of end tokens, the model's own generation settings overridden."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby
from typing import Any

from fewfit.engine.forward import even_head
from fewfit.engine.prefix import Prefix
from fewfit.models import library
from fewfit.models.configs import context_length


@contextmanager
def greedy_settings(model: Any, settings: Any) -> Iterator[None]:
    """transformers fills what a call leaves open from the model's generation_config (penalties, forced tokens …)."""
    kept = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = kept


def greedy(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    end_ids: frozenset[int],
    ended: Callable[[Sequence[int]], bool] | None = None,
    batch: int = 16,
    past: Prefix | None = None,
    begun: Sequence[Sequence[int]] | None = None,
    multiple: int = 1,
    behind: Callable[[Sequence[int], int], Any] | None = None,
    longest: int = 0,
    adjust: Callable[[Sequence[int], int, Any, Any], Any] | None = None,
    around: Callable[[Sequence[int]], AbstractContextManager[Any]] = lambda indices: nullcontext(),
) -> list[tuple[int, ...]]:
    """New tokens of each prompt, the end mark included where it was reached.

    `ended` looks at the new tokens of one row: a plain-text end mark may be several tokens. `past` holds the keys and
    values of what all prompts begin with. `begun` are new tokens of each prompt that are known already. What is padded
    is padded to a `multiple` of tokens behind `past`, and to `longest` at least. `behind` gives a cache for a batch's
    prompts' indices, of all their tokens but the last, ending before where it is told. `adjust` is given the indices of
    a batch, how many tokens are written, the tokens of each row (in place of padding its last token of the prompt,
    again) and the logits of the next, whose arg-max is taken: noise makes a sample of it. `around` is entered for each
    batch with its prompts' indices: a learner of many lanes sets its row-to-lane map there.
    """
    import torch
    from transformers import (
        GenerationConfig,
        LogitsProcessor,
        LogitsProcessorList,
        StoppingCriteria,
        StoppingCriteriaList,
    )

    device = next(model.parameters()).device
    pad = min(end_ids) if end_ids else 0

    def settings(most: int) -> GenerationConfig:
        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=most,
            eos_token_id=sorted(end_ids) or None,
            pad_token_id=pad,
            use_cache=True,
        )

    class Adjusted(LogitsProcessor):
        def __init__(self, mask_BT: Any, indices: Sequence[int]):
            self.padding_BT, self.indices = mask_BT == 0, indices

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            if adjust is None:
                return scores
            start = self.padding_BT.shape[1]
            prompt_BT, new_BT = input_ids[:, :start], input_ids[:, start:]
            own_BT = torch.where(self.padding_BT, prompt_BT[:, -1:], prompt_BT)
            return adjust(self.indices, new_BT.shape[1], torch.cat([own_BT, new_BT], dim=1), scores)

    class Ended(StoppingCriteria):
        def __init__(self, start: int, known: Sequence[tuple[int, ...]]):
            self.start, self.known = start, known
            self.done: list[bool] = []

        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            rows = input_ids[:, self.start :].tolist()
            if not self.done:
                self.done = [False] * len(rows)
            if ended is not None:
                new = [[*some, *row] for some, row in zip(self.known, rows, strict=True)]
                self.done = [was or ended(row) for was, row in zip(self.done, new, strict=True)]
            return torch.tensor(self.done, dtype=torch.bool, device=input_ids.device)

    out: list[tuple[int, ...]] = [()] * len(prompts)
    if begun is not None:
        out = [tuple(some)[:max_new_tokens] for some in begun]
    over = [len(some) == max_new_tokens or end_of(some, end_ids, ended) is not None for some in out]
    prompts = [(*prompt, *some) for prompt, some in zip(prompts, out, strict=True)]
    # Equal lengths first: rows of one length need no padding, and padding costs the fast attention path.
    indices = sorted((k for k, done in enumerate(over) if not done), key=lambda index: len(prompts[index]))
    room = context_length(model.config) or math.inf
    start = 0 if past is None else len(past.ids)
    windowed = past is not None and past.window is not None
    for chunk in equal_lengths(prompts, indices, batch) if windowed else chunks(indices, batch):
        least = min(len(out[index]) for index in chunk)
        for index in chunk:  # one that is far ahead of the others would be led on beyond the model's last place
            if len(prompts[index]) + max_new_tokens - least > room:
                ahead = len(out[index]) - least
                out[index], prompts[index] = out[index][:least], prompts[index][: len(prompts[index]) - ahead]
        width = max(longest, *(len(prompts[index]) for index in chunk))
        if not windowed:
            width = start + -(-(width - start) // multiple) * multiple
        ids_BT = torch.full((len(chunk), width), pad, dtype=torch.long)
        mask_BT = torch.zeros(len(chunk), width, dtype=torch.long)
        for b, index in enumerate(chunk):
            row = torch.tensor(prompts[index], dtype=torch.long)
            # Padding stands on the left, but behind what is remembered.
            ids_BT[b, :start], ids_BT[b, width - len(row) + start :] = row[:start], row[start:]
            mask_BT[b, :start], mask_BT[b, width - len(row) + start :] = 1, 1
        known = [out[index] for index in chunk]
        wanted = settings(max_new_tokens - least)
        cache = behind(chunk, width) if behind is not None else None if past is None else past.cache(len(chunk))
        with torch.inference_mode(), greedy_settings(model, wanted), even_head(model), around(chunk):
            new_BT = model.generate(
                input_ids=ids_BT.to(device),
                attention_mask=mask_BT.to(device),
                generation_config=wanted,
                stopping_criteria=StoppingCriteriaList([Ended(width, known)]),
                logits_processor=LogitsProcessorList([] if adjust is None else [Adjusted(mask_BT.to(device), chunk)]),
                **library.cache_argument(model, cache),
            )[:, width:]
        for b, index in enumerate(chunk):
            out[index] = (*known[b], *new_BT[b].tolist())[:max_new_tokens]
    # Without the padding that a batch adds to rows that ended early.
    return [some[: end_of(some, end_ids, ended)] for some in out]


def end_of(ids: Sequence[int], end_ids: frozenset[int], ended: Callable[[Sequence[int]], bool] | None) -> int | None:
    """How many tokens there are up to the end mark; None without one."""
    for n, token in enumerate(ids, 1):
        if token in end_ids or (ended is not None and ended(ids[:n])):
            return n
    return None


def equal_lengths(prompts: Sequence[Sequence[int]], indices: list[int], size: int) -> Iterator[list[int]]:
    """Padding between what is remembered and what follows would count towards a sliding window: none of it."""
    for _, same in groupby(indices, key=lambda index: len(prompts[index])):
        yield from chunks(list(same), size)


def chunks(items: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
