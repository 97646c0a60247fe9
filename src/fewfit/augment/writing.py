"""Who writes: a model on this machine, or one behind an endpoint. Prompts in, texts with their cost out.

What a local model writes for a prompt must not depend on the prompts beside it, since these may be examples that come
later in the stream: passes are always of one shape (BATCH rows, filled up with copies; lengths padded to a multiple),
in which a row is rounded alike whoever shares it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, Protocol

from fewfit import draw
from fewfit.augment.prompts import Asked
from fewfit.examples.example import Message
from fewfit.render.encode import Encoder
from fewfit.render.rendered import Piece

BATCH, MULTIPLE = 16, 32
ENDPOINT_TOKENS = 16_000  # of a prompt, where nobody says what the endpoint takes
LETTERS_A_TOKEN = 3
WORTH_KEEPING = 16  # tokens that prompts share
ANSWERS = ("yes", "no")


class Written(NamedTuple):
    """`ended`: at a stop, not at the last token allowed."""

    text: str
    ended: bool
    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True)
class How:
    """How texts are written. `lines`: no more than so many are wanted, so writing may end there."""

    max_new_tokens: int = 96
    stop: tuple[str, ...] = ("\n\n",)
    lines: int = 5
    temperature: float = 0.0
    seed: int = 0


class Writer(Protocol):
    limit: int | None  # tokens of a prompt and what is written behind it

    def count(self, text: str) -> int:
        """Tokens, roughly."""

    def write(self, asked: Sequence[Asked], keys: Sequence[str], how: How) -> list[Written]:
        """In the order of the prompts. What is drawn hangs on the seed and a prompt's key."""

    def affirm(self, asked: Sequence[Asked]) -> list[tuple[bool, int]]:
        """Whether the likelier answer to each is yes, and the tokens that asking took."""


class LocalWriter:
    """A loaded model, as it is."""

    def __init__(self, model: Any, tokenizer: Any):
        self.model, self.encoder = model, Encoder(tokenizer)
        self.end_ids = frozenset({tokenizer.eos_token_id} - {None})
        self.limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._kept: tuple[str, Any] = ("", None)

    def count(self, text: str) -> int:
        return len(self._ids(text))

    def write(self, asked: Sequence[Asked], keys: Sequence[str], how: How) -> list[Written]:
        from fewfit.engine.generate import greedy

        out: list[Written | None] = [None] * len(asked)
        for past, spent, some in self._parted(asked):
            ids = {n: self._ids(asked[n].before + asked[n].rest) for n in some}
            start = 0 if past is None else len(past.ids)
            exact = past is not None and past.window is not None
            for chunk in self._chunks({n: len(ids[n]) - start for n in some}, 1 if exact else MULTIPLE):
                filled = chunk + chunk[-1:] * (BATCH - len(chunk))
                texts = greedy(
                    self.model,
                    [ids[n] for n in filled],
                    max_new_tokens=how.max_new_tokens,
                    end_ids=self.end_ids,
                    ended=lambda new: cut(self.encoder.decode(new), how)[1],
                    batch=BATCH,
                    past=past,
                    multiple=MULTIPLE,
                    adjust=self._noise([keys[n] for n in filled], how),
                )
                for n, new in zip(chunk, texts, strict=False):
                    at_end = bool(new) and new[-1] in self.end_ids
                    text, stopped = cut(self.encoder.decode(new[:-1] if at_end else new), how)
                    out[n] = Written(text, stopped or at_end, len(ids[n]) - start + spent, len(new))
                    spent = 0  # what is shared was computed once
        return [one for one in out if one is not None]

    def affirm(self, asked: Sequence[Asked]) -> list[tuple[bool, int]]:
        from fewfit.engine import likelihood

        out = [(False, 0)] * len(asked)
        for past, spent, some in self._parted(asked):
            ids = [self._ids(asked[n].before + asked[n].rest) for n in some]
            start = 0 if past is None else len(past.ids)
            for chunk in likelihood.chunks(range(len(some)), [len(one) for one in ids]):
                answers = [self._answers(asked[some[k]]) for k in chunk]
                told = likelihood.logp(self.model, past, [ids[k] for k in chunk], answers)
                for k, (yes, no) in zip(chunk, told, strict=True):
                    out[some[k]] = (yes > no, len(ids[k]) - start + spent)
                    spent = 0
        return out

    def _answers(self, asked: Asked) -> list[tuple[int, ...]]:
        """Yes and no as they continue the prompt."""
        ids = self._ids(asked.before + asked.rest)
        return [self._ids(f"{asked.before}{asked.rest} {answer}")[len(ids) :] for answer in ANSWERS]

    def _ids(self, text: str) -> tuple[int, ...]:
        return self.encoder.encode((Piece(text, data=True),), special=True).ids

    def _parted(self, asked: Sequence[Asked]) -> Iterator[tuple[Any, int, list[int]]]:
        """Prompts that share a beginning, with what is kept of it and the tokens that computing it took."""
        by_beginning: dict[str, list[int]] = {}
        for n, one in enumerate(asked):
            by_beginning.setdefault(one.before, []).append(n)
        for before, some in by_beginning.items():
            past, spent = self._beginning(before)
            serves = [past is not None and past.begins(self._ids(before + asked[n].rest)) for n in some]
            there = [n for n, one in zip(some, serves, strict=True) if one]
            rest = [n for n, one in zip(some, serves, strict=True) if not one]
            yield from ((kept, cost, part) for kept, cost, part in ((past, spent, there), (None, 0, rest)) if part)

    def _beginning(self, before: str) -> tuple[Any, int]:
        if self._kept[0] == before:
            return self._kept[1], 0
        from fewfit.engine.beginning import prefix

        one, other = self._ids(before + "A"), self._ids(before + " 7")
        shared = next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
        past = prefix(self.model, one[:shared]) if shared >= WORTH_KEEPING else None
        self._kept = (before, past)
        return past, 0 if past is None else shared

    @staticmethod
    def _chunks(lengths: dict[int, int], multiple: int) -> Iterator[list[int]]:
        """Of one padded length, at the most BATCH."""

        def padded(n: int) -> int:
            return -(-lengths[n] // multiple)

        for _, same in groupby(sorted(lengths, key=padded), key=padded):
            rows = list(same)
            yield from (rows[k : k + BATCH] for k in range(0, len(rows), BATCH))

    def _noise(self, keys: Sequence[str], how: How) -> Callable[[Sequence[int], int, Any], Any] | None:
        """The arg-max of logits over the temperature plus Gumbel noise is a sample; noise by hash, so that it is the
        same whoever shares the pass."""
        if how.temperature == 0:
            return None
        import torch

        def adjusted(indices: Sequence[int], step: int, logits_BV: Any) -> Any:
            noise = []
            for index in indices:
                seed = draw.number(how.seed, keys[index], "sample", step) >> 1
                uniform_V = torch.rand(logits_BV.shape[1], generator=torch.Generator().manual_seed(seed))
                noise.append(-torch.log(-torch.log(uniform_V.clamp(1e-12, 1 - 1e-7))))
            return logits_BV.float() / how.temperature + torch.stack(noise).to(logits_BV.device)

        return adjusted


class EndpointWriter:
    """A model behind an endpoint (models/remote), which keeps what was paid for. `chat`: it takes messages."""

    def __init__(self, endpoint: Any, *, chat: bool = False, limit: int | None = ENDPOINT_TOKENS):
        self.endpoint, self.chat, self.limit = endpoint, chat, limit

    def _prompt(self, one: Asked) -> str | tuple[Message, ...]:
        text = one.before + one.rest
        return (Message("user", text),) if self.chat else text

    def count(self, text: str) -> int:
        return len(text) // LETTERS_A_TOKEN

    def write(self, asked: Sequence[Asked], keys: Sequence[str], how: How) -> list[Written]:
        from fewfit.models.remote import Request

        requests = []
        for one, key in zip(asked, keys, strict=True):
            seed = None if how.temperature == 0 else draw.number(how.seed, key, "sample") >> 33
            requests.append(
                Request(self._prompt(one), how.max_new_tokens, how.stop, temperature=how.temperature, seed=seed)
            )
        out = []
        for done in self.endpoint.complete(requests):
            text, stopped = cut(done.text, how)
            out.append(Written(text, stopped or done.finish == "stop", done.prompt_tokens, done.completion_tokens))
        return out

    def affirm(self, asked: Sequence[Asked]) -> list[tuple[bool, int]]:
        """By what it says: endpoints give no likelihoods that could be relied on."""
        from fewfit.models.remote import Request

        answers = self.endpoint.complete([Request(self._prompt(one), 4) for one in asked])
        return [(done.text.strip().lower().startswith(ANSWERS[0]), done.prompt_tokens) for done in answers]


def cut(text: str, how: How) -> tuple[str, bool]:
    """Up to the first stop, or to the end of the last line that is wanted; and whether there was one."""
    places = [place for mark in how.stop if (place := text.find(mark)) >= 0]
    rows = text.split("\n")
    if len(rows) > how.lines and any(row.strip() for row in rows[: how.lines]):
        places.append(len("\n".join(rows[: how.lines])))
    return (text[: min(places)], True) if places else (text, False)


def timed(clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """Seconds since."""
    start = clock()
    return lambda: clock() - start
