"""Texts that are written together, all in one row of tokens.

A mask parts them, what their prompts begin with is kept once, and no token of padding is computed; a text that has
ended makes room for the next prompt, which is read in the same forward that goes on with the others. How a text is
rounded hangs on what is written beside it: where that must not be, see `generate.greedy`.

    writing = Writing(model)
    writing.add(Text(prompt=(3, 1, 4, 1, 5)))              # also between two steps
    for text, logits_NV in writing.step():                 # one forward for all of them
        text.new.append(int(logits_NV[0].argmax()))        # or writing.drop(text), where it has ended
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fewfit.engine import packed
from fewfit.engine.adapters import Wrapped
from fewfit.engine.forward import head_on_rows
from fewfit.engine.generate import end_of
from fewfit.engine.mixed import Adapted, Matrices
from fewfit.engine.prefix import Prefix
from fewfit.models import library

Ids = tuple[int, ...]
TEXTS = 16  # that are being written at a time
KEPT = 4096  # tokens of beginnings that nobody stands behind just now; each is compared with by every other token
NOBODY, NOTHING = -1, -2  # owns what was kept of a text that has ended; what a text without a beginning stands behind


@dataclass(eq=False)
class Text:
    """One that is being written, under an adapter or none. `beginning` is how many of its prompt's tokens may be kept
    for others that begin alike. A text with `tails` is read once, with each of them behind its prompt, and not gone on
    with."""

    prompt: Ids
    index: int = 0
    new: list[int] = field(default_factory=list)
    beginning: int = 0
    tails: tuple[Ids, ...] = ()
    adapter: Matrices | None = None
    place: int = 0  # of the next token to be read
    owner: int = NOBODY
    behind: int = NOTHING  # the owner of its beginning
    reused: int = 0  # tokens of it that had been read for others

    def unread(self) -> Sequence[int]:
        return self.new[-1:] or self.prompt[self.place :]


@dataclass(eq=False)
class Beginning:
    """What texts under one adapter begin with."""

    owner: int
    length: int
    used: int = 0  # the step in which it was last asked for
    asked: int = 0  # texts that have asked for it
    texts: int = 0  # that stand behind it


class Part(NamedTuple):
    """A stretch of tokens to be read, who owns it and whose tokens it sees beside its own; `wanted`: the last so many
    logits."""

    ids: Sequence[int]
    place: int
    owner: int
    sees: tuple[int, int]
    adapter: Matrices | None
    wanted: int


class Writing:
    """Texts of one model. `past` is kept outside and begins all of them; beginnings that texts bring along are read
    here, and stay. `wrapped` is the model, where texts may have adapters."""

    def __init__(self, model: Any, *, past: Prefix | None = None, texts: int = TEXTS, wrapped: Wrapped | None = None):
        self.memory = Memory(model, past, wrapped)
        self.start = 0 if past is None else len(past.ids)
        self.texts = texts
        self.active: list[Text] = []
        self.beginnings: dict[tuple[Ids, int], Beginning] = {}
        self._owners = 0
        self._steps = 0
        self._parts: list[Part] = []  # beginnings to be read

    def has_room(self, text: Text) -> bool:
        """For one text there always is; more are read in one forward up to so many tokens."""
        if not self.active:
            return True
        if len(self.active) >= self.texts:
            return False
        fresh = sum(len(part.ids) for part in self._parts)
        fresh += sum(len(ids) for one in self.active if not one.new for ids in (one.unread(), *one.tails))
        kept = text.beginning if self._key(text) in self.beginnings else 0  # what is not kept yet has to be read, too
        size = len(text.prompt) - max(self.start, kept) + sum(map(len, text.tails))
        return fresh == 0 or fresh + size <= packed.TOKENS

    def add(self, text: Text) -> None:
        text.owner, text.place = self._own(), self.start
        if text.beginning > self.start:
            kept = self._kept(text)
            text.behind, text.place = kept.owner, kept.length
            text.reused = kept.length if kept.asked else 0
            kept.asked += 1
            kept.texts += 1
        self.active.append(text)

    @torch.inference_mode()
    def step(self) -> list[tuple[Text, Tensor]]:
        """One forward: each text with Logits_NV behind its last token, and behind each token of each of its tails. A
        text with tails is done with then."""
        if not self.active:
            return []
        self._steps += 1
        parts, sizes = self._parts, list[int]()
        self._parts = []
        first = len(parts)
        tails: list[int] = []
        for text in self.active:
            before = len(parts)
            sees = (text.behind, NOTHING)
            parts.append(Part(text.unread(), text.place, text.owner, sees, text.adapter, 1))
            for tail in text.tails:
                tails.append(self._own())
                sees = (text.behind, text.owner)
                parts.append(Part(tail, len(text.prompt), tails[-1], sees, text.adapter, len(tail)))
            sizes.append(sum(part.wanted for part in parts[before:]))
        asked = sum(part.wanted for part in parts[:first])
        told = self.memory.read(parts)[asked:].split(sizes)
        out = list(zip(self.active, told, strict=True))
        for text in self.active:
            text.place = len(text.prompt) + len(text.new)
        self.memory.forget(tails)
        for text in [text for text in self.active if text.tails]:
            self.drop(text)
        return out

    def drop(self, *texts: Text) -> None:
        gone = set(map(id, texts))
        for text in texts:
            for kept in self.beginnings.values():
                kept.texts -= kept.owner == text.behind
        self.active = [text for text in self.active if id(text) not in gone]
        self.memory.forget([text.owner for text in texts])

    def _own(self) -> int:
        self._owners += 1
        return self._owners - 1

    @staticmethod
    def _key(text: Text) -> tuple[Ids, int]:
        return text.prompt[: text.beginning], id(text.adapter)

    def _kept(self, text: Text) -> Beginning:
        key = self._key(text)
        if key not in self.beginnings:
            self._make_room(text.beginning)
            made = self.beginnings[key] = Beginning(self._own(), text.beginning)
            self._parts.append(Part(key[0], 0, made.owner, (NOTHING, NOTHING), text.adapter, 1))
        self.beginnings[key].used = self._steps
        return self.beginnings[key]

    def _make_room(self, tokens: int) -> None:
        """What was not asked for longest goes first; what texts stand behind stays."""
        total = tokens + sum(kept.length for kept in self.beginnings.values())
        for key, kept in sorted(self.beginnings.items(), key=lambda pair: pair[1].used):
            if total <= KEPT:
                return
            if not kept.texts:
                del self.beginnings[key]
                self._parts = [part for part in self._parts if part.owner != kept.owner]
                self.memory.forget([kept.owner])
                total -= kept.length


def write(model: Any, prompts: Sequence[Ids], **how: Any) -> list[Ids]:
    """New tokens of each prompt; the arguments are those of `stream`."""
    out = dict(stream(model, prompts, **how))
    return [out[index] for index in range(len(prompts))]


def stream(
    model: Any,
    prompts: Sequence[Ids],
    *,
    max_new_tokens: int,
    end_ids: frozenset[int],
    ended: Callable[[Sequence[int]], bool] | None = None,
    past: Prefix | None = None,
    texts: int = TEXTS,
    adjust: Callable[[Sequence[int], int, Any, Any], Any] | None = None,
) -> Iterator[tuple[int, Ids]]:
    """The place of a prompt and its new tokens, as soon as they have ended, the end mark included where it was reached;
    the arguments are `generate.greedy`'s. The model has to be `packed.usable`."""
    writing = Writing(model, past=past, texts=texts)
    waiting = [Text(prompt, index) for index, prompt in reversed(list(enumerate(prompts)))]
    while waiting or writing.active:
        while waiting and writing.has_room(waiting[-1]):
            writing.add(waiting.pop())
        over = []
        for text, logits_NV in writing.step():
            if adjust is not None:
                ids_1T = torch.tensor([[*text.prompt, *text.new]], device=logits_NV.device)
                logits_NV = adjust([text.index], len(text.new), ids_1T, logits_NV)
            text.new.append(int(logits_NV[0].argmax()))
            end = end_of(text.new[-1:], end_ids, None) or (ended is not None and ended(text.new))
            if end or len(text.new) == max_new_tokens:
                over.append(text)
        writing.drop(*over)
        yield from ((text.index, tuple(text.new)) for text in over)


class Memory:
    """Keys and values of all texts in one row, who owns each place of it, and where it stands in its text."""

    def __init__(self, model: Any, past: Prefix | None, wrapped: Wrapped | None = None):
        self.model, self.past, self.wrapped = model, past, wrapped
        self.device = next(model.parameters()).device
        kept = () if past is None else [(layer.keys, layer.values) for layer in past.layers]
        self.cache = library.roomy_cache(model, kept)
        self.owner_K = torch.empty(0, dtype=torch.long, device=self.device)
        self.place_K = torch.empty(0, dtype=torch.long, device=self.device)

    def read(self, parts: Sequence[Part]) -> Tensor:
        """Logits_NV behind the last `wanted` tokens of each part."""
        ids, owner, place, sees, last = list[int](), list[int](), list[int](), list[tuple[int, int]](), list[int]()
        for part in parts:
            ids += part.ids
            owner += [part.owner] * len(part.ids)
            place += range(part.place, part.place + len(part.ids))
            sees += [part.sees] * len(part.ids)
            last += range(len(ids) - part.wanted, len(ids))
        owner_T, place_T = (torch.tensor(some, device=self.device) for some in (owner, place))
        sees_T2 = torch.tensor(sees, device=self.device)
        self.owner_K, self.place_K = torch.cat([self.owner_K, owner_T]), torch.cat([self.place_K, place_T])
        seen_TK = owner_T[:, None] == self.owner_K
        for column in range(2):
            seen_TK |= sees_T2[:, column, None] == self.owner_K
        seen_TK &= self.place_K <= place_T[:, None]
        last_N = torch.tensor(last, device=self.device)
        with head_on_rows(self.model, torch.zeros_like(last_N), last_N), self._adapted(parts):
            logits_NV = self.model(
                input_ids=torch.tensor([ids], device=self.device),
                attention_mask=packed.masks(self.model, self.past, seen_TK, place_T, self.place_K),
                position_ids=place_T[None],
                use_cache=True,
                **library.cache_argument(self.model, self.cache),
            ).logits[0]
        return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()

    @contextmanager
    def _adapted(self, parts: Sequence[Part]) -> Iterator[None]:
        now = None if self.wrapped is None else Adapted([(part.adapter, len(part.ids)) for part in parts])
        with nullcontext() if self.wrapped is None else self.wrapped.using(now):
            yield

    def forget(self, owners: Sequence[int]) -> None:
        """Their places stay until half of all are such ones."""
        if not owners:
            return
        gone = torch.tensor(owners, device=self.device)
        self.owner_K = torch.where(torch.isin(self.owner_K, gone), NOBODY, self.owner_K)
        alive_K = self.owner_K != NOBODY
        if 2 * int(alive_K.sum()) <= len(alive_K):
            for layer in self.cache.layers:
                layer.keep(alive_K)
            self.owner_K, self.place_K = self.owner_K[alive_K], self.place_K[alive_K]
