"""What becomes of the events of jobs: one slot for each answer that a client gets.

A slot takes events of its jobs, by their number, and gives what is to be sent, or None where there is nothing yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fewfit.engine.task import TINY, best_choice, mean_probs, softmax
from fewfit.serve.jobs import Event, Judged, Said, Token
from fewfit.writing import Decoding, cut
from fewfit.writing.sampling import adjustment


@dataclass(frozen=True)
class Delta:
    """More of answer `index`; `finish` where it is all of it."""

    index: int
    text: str
    tokens: tuple[Token, ...] = ()
    finish: str | None = None
    new_tokens: int = 0
    probs: dict[str, float] | None = None


class Slot(Protocol):
    def take(self, job: int, event: Event) -> Delta | None: ...


class Written:
    """A text, handed on as it is written."""

    def __init__(self, index: int):
        self.index = index

    def take(self, job: int, event: Event) -> Delta | None:
        assert isinstance(event, Said)
        return Delta(self.index, event.text, event.tokens, event.finish, event.new_tokens)


class Majority:
    """The text that most of several prompts give, the first of equals: known when all of them are."""

    def __init__(self, index: int, jobs: int):
        self.index = index
        self._said: dict[int, Said] = {}
        self._jobs = jobs

    def take(self, job: int, event: Event) -> Delta | None:
        assert isinstance(event, Said) and event.finish is not None
        self._said[job] = event
        if len(self._said) < self._jobs:
            return None
        some = [self._said[k] for k in range(self._jobs)]
        texts = [one.text for one in some]
        best = some[texts.index(max(texts, key=texts.count))]
        return Delta(self.index, best.text, best.tokens, best.finish, sum(one.new_tokens for one in some))


class Labelled:
    """The likeliest choice by the mean of the probabilities behind all prompts; at a temperature one is drawn."""

    def __init__(
        self,
        index: int,
        jobs: int,
        names: Sequence[str],
        decoding: Decoding,
        *,
        top: int | None = None,
        sizes: Sequence[int] = (),
    ):
        self.index, self._jobs, self._names, self._decoding = index, jobs, tuple(names), decoding
        self._top, self._sizes = top, sizes
        self._probs: dict[int, dict[str, float]] = {}

    def take(self, job: int, event: Event) -> Delta | None:
        assert isinstance(event, Judged)
        self._probs[job] = softmax(self._names, event.logp)
        if len(self._probs) < self._jobs:
            return None
        probs = mean_probs([self._probs[k] for k in range(self._jobs)])
        logp = [math.log(max(probs[name], TINY)) for name in self._names]
        name = self._drawn(logp)
        tokens: tuple[Token, ...] = ()
        if self._top is not None:
            ranked = sorted(zip(self._names, logp, strict=True), key=lambda pair: -pair[1])
            tokens = (Token(name, logp[self._names.index(name)], tuple(ranked[: self._top])),)
        size = self._sizes[self._names.index(name)] if self._sizes else 0
        return Delta(self.index, cut(name, self._decoding)[0], tokens, "stop", size, probs)

    def _drawn(self, logp: list[float]) -> str:
        if self._decoding.is_greedy:
            return best_choice(self._names, logp)[0]
        import torch

        adjust: Any = adjustment(self._decoding, [str(self.index)])
        logp_1C = adjust([0], 0, torch.empty(1, 0, dtype=torch.long), torch.tensor([logp]))
        return self._names[int(logp_1C[0].argmax())]
