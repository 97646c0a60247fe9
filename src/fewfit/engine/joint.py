"""Texts that are written together, all in one row of tokens.

What their prompts begin with is kept once, a mask parts them, and no token of padding is computed; a text that has
ended makes room for the next prompt, which is read in the same forward that goes on with the others. How a text is
rounded hangs on what is written beside it: where that must not be, see `generate.greedy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fewfit.engine import packed
from fewfit.engine.forward import head_on_rows
from fewfit.engine.generate import end_of
from fewfit.engine.prefix import Prefix
from fewfit.models import library

Ids = tuple[int, ...]
TEXTS = 16  # that are being written at a time
NOBODY = -1  # owns what was kept of a text that has ended


@dataclass
class Text:
    """One that is being written: `index` of its prompt, `place` of the next token to be read."""

    index: int
    prompt: Ids
    place: int
    new: list[int] = field(default_factory=list)

    def unread(self) -> Sequence[int]:
        return self.new[-1:] or self.prompt[self.place :]


@torch.inference_mode()
def write(
    model: Any,
    prompts: Sequence[Ids],
    *,
    max_new_tokens: int,
    end_ids: frozenset[int],
    ended: Callable[[Sequence[int]], bool] | None = None,
    past: Prefix | None = None,
    texts: int = TEXTS,
    adjust: Callable[[Sequence[int], int, Any, Any], Any] | None = None,
) -> list[Ids]:
    """New tokens of each prompt, the end mark included where it was reached; the arguments are `generate.greedy`'s.
    The model has to be `packed.usable`."""
    start = 0 if past is None else len(past.ids)
    memory = Memory(model, past)
    waiting = [Text(n, prompt, start) for n, prompt in reversed(list(enumerate(prompts)))]
    active: list[Text] = []
    out: list[Ids] = [()] * len(prompts)
    while waiting or active:
        fresh = 0
        while waiting and len(active) < texts and (fresh == 0 or fresh + len(waiting[-1].unread()) <= packed.TOKENS):
            active.append(waiting.pop())
            fresh += len(active[-1].unread())
        for text, logits_V in zip(active, memory.read(active), strict=True):
            text.place = len(text.prompt) + len(text.new)
            if adjust is not None:
                ids_1T = torch.tensor([[*text.prompt, *text.new]], device=logits_V.device)
                logits_V = adjust([text.index], len(text.new), ids_1T, logits_V[None])[0]
            text.new.append(int(logits_V.argmax()))
        for text in active:
            end = end_of(text.new[-1:], end_ids, None) or (ended is not None and ended(text.new))
            if end or len(text.new) == max_new_tokens:
                out[text.index] = tuple(text.new)
                memory.forget(text.index)
        active = [text for text in active if not out[text.index]]
    return out


class Memory:
    """Keys and values of all texts in one row, who owns each place of it, and where it stands in its text."""

    def __init__(self, model: Any, past: Prefix | None):
        self.model, self.past = model, past
        self.device = next(model.parameters()).device
        kept = () if past is None else [(layer.keys, layer.values) for layer in past.layers]
        self.cache = library.roomy_cache(model, kept)
        self.owner_K = torch.empty(0, dtype=torch.long, device=self.device)
        self.place_K = torch.empty(0, dtype=torch.long, device=self.device)

    def read(self, texts: Sequence[Text]) -> Tensor:
        """Logits_BV behind what each text has not read yet."""
        ids, owner, place, last = list[int](), list[int](), list[int](), list[int]()
        for text in texts:
            unread = text.unread()
            ids += unread
            owner += [text.index] * len(unread)
            place += range(text.place, text.place + len(unread))
            last.append(len(ids) - 1)
        owner_T, place_T = (torch.tensor(some, device=self.device) for some in (owner, place))
        self.owner_K, self.place_K = torch.cat([self.owner_K, owner_T]), torch.cat([self.place_K, place_T])
        seen_TK = (owner_T[:, None] == self.owner_K) & (self.place_K <= place_T[:, None])
        last_B = torch.tensor(last, device=self.device)
        with head_on_rows(self.model, torch.zeros_like(last_B), last_B):
            logits_BV = self.model(
                input_ids=torch.tensor([ids], device=self.device),
                attention_mask=packed.masks(self.model, self.past, seen_TK, place_T, self.place_K),
                position_ids=place_T[None],
                use_cache=True,
                **library.cache_argument(self.model, self.cache),
            ).logits[0]
        return logits_BV if logits_BV.dtype == torch.float64 else logits_BV.float()

    def forget(self, index: int) -> None:
        """Its places stay until half of all are such ones."""
        self.owner_K = torch.where(self.owner_K == index, NOBODY, self.owner_K)
        alive_K = self.owner_K != NOBODY
        if 2 * int(alive_K.sum()) <= len(alive_K):
            for layer in self.cache.layers:
                layer.keep(alive_K)
            self.owner_K, self.place_K = self.owner_K[alive_K], self.place_K[alive_K]
