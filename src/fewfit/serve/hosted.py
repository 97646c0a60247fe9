"""What can be asked for by name: a bundle with its demonstrations, template and adapter, or the base model without.

A query becomes prompts as `fewfit predict` makes them; what all of a set's prompts begin with is marked, so that it is
computed once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fewfit.bundle import Bundle
from fewfit.engine.mixed import Matrices
from fewfit.engine.prefix import WORTH_KEEPING
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.predict.predictor import common
from fewfit.predict.prompts import choices_of, prompts_of
from fewfit.predict.queries import as_example
from fewfit.render import Renderer
from fewfit.render.encode import Encoder
from fewfit.render.rendered import Piece
from fewfit.serve.refusal import Refusal
from fewfit.writing import Sampling

Ids = tuple[int, ...]
BASE = "base"
LABEL_TOKENS = 4096  # of all choices of a request
BASE_TOKENS = 256  # written by the base model where nobody says how many


@dataclass(frozen=True)
class Prompted:
    """One prompt of a query; the answers, where it is to be judged and not gone on with."""

    ids: Ids
    beginning: int
    answers: tuple[Ids, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A query with all of its prompts: several where a bundle answers by the mean or the majority of them."""

    prompts: tuple[Prompted, ...]
    choices: tuple[str, ...] = ()


class Hosted:
    """`limit`: of prompt and new tokens together. Thread-safe: renderers are not, so one prompt is made at a time."""

    def __init__(self, name: str, encoder: Encoder, *, limit: int | None, lock: threading.Lock):
        self.name, self.encoder, self.limit = name, encoder, limit
        self.adapter: Matrices | None = None
        self._lock = lock

    @property
    def by_choice(self) -> bool:
        return False

    @property
    def new_tokens(self) -> int:
        raise NotImplementedError

    @property
    def sampling(self) -> Sampling:
        """Where a request does not say how."""
        return Sampling()

    def marks(self, chat: bool) -> tuple[str, ...]:
        """Text that an answer ends at."""
        raise NotImplementedError

    def written(self, prompt: Any, *, chat: bool, max_new_tokens: int) -> Asked:
        """A query that is answered by text: a string, or messages."""
        with self._lock:
            asked = self._written(prompt, chat)
        for one in asked.prompts:
            self._check(len(one.ids), max_new_tokens)
        return asked

    def judged(self, prompt: Any, choices: Sequence[str] | None) -> Asked:
        raise Refusal(400, f"{self.name!r} has no layout for labels; ask a bundle", code="no_labels", param="model")

    def read(self, ids: Sequence[int], chat: bool) -> tuple[str, bool, int]:
        """New tokens as text, whether it has ended, and how many characters were trimmed before it."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        return {}

    def _written(self, prompt: Any, chat: bool) -> Asked:
        raise NotImplementedError

    def _check(self, tokens: int, new: int) -> None:
        if self.limit is not None and tokens + new > self.limit:
            raise Refusal(
                400,
                f"{tokens} tokens of prompt and {new} for the answer, and the length is {self.limit}",
                code="context_length_exceeded",
            )


class HostedBundle(Hosted):
    def __init__(self, name: str, bundle: Bundle, renderer: Renderer, **settings: Any):
        super().__init__(name, renderer.encoder, **settings)
        self.bundle, self.renderer = bundle, renderer
        self._begins = [renderer.prefix(one) for one in bundle.sets]  # of each set

    @property
    def by_choice(self) -> bool:
        return self.bundle.by_choice

    @property
    def new_tokens(self) -> int:
        return self.bundle.max_new_tokens

    @property
    def sampling(self) -> Sampling:
        return self.bundle.sampling

    def marks(self, chat: bool) -> tuple[str, ...]:
        return (self.renderer.end_text,)

    def forget_beginnings(self) -> None:
        self._begins = [()] * len(self._begins)

    def judged(self, prompt: Any, choices: Sequence[str] | None) -> Asked:
        row: Mapping[str, Any] = {"prompt": prompt} if choices is None else {"prompt": prompt, "choices": choices}
        with self._lock:
            query = self._query(row)
            try:
                names = choices_of(self.bundle, query)
                made = []
                for k, one in prompts_of(self.bundle, self.renderer, query):
                    answers = self.renderer.continuations(one, names)
                    made.append(Prompted(one.ids, self._beginning(k, one.ids), tuple(answers)))
            except UserError as error:
                raise refused(error) from None
        for prompted in made:
            self._check(len(prompted.ids), max(map(len, prompted.answers)))
            if (tokens := sum(map(len, prompted.answers))) > LABEL_TOKENS:  # they are read together, each by all others
                message = f"choices of {tokens:,} tokens together, and {LABEL_TOKENS:,} are the most"
                raise Refusal(400, message, code="context_length_exceeded", param="choices")
        return Asked(tuple(made), names)

    def read(self, ids: Sequence[int], chat: bool) -> tuple[str, bool, int]:
        return trimmed(self.renderer, ids)

    def about(self) -> dict[str, Any]:
        bundle = self.bundle
        interval = None if bundle.interval is None else list(bundle.interval)
        return {
            "lane": bundle.lane.name,
            "metric": bundle.metric,
            "choices": None if bundle.choices is None else list(bundle.choices),
            "max_new_tokens": bundle.max_new_tokens,
            "chat": True,
            "score": bundle.score,
            "interval": interval,
        }

    def _written(self, prompt: Any, chat: bool) -> Asked:
        query = self._query({"prompt": prompt})
        try:
            some = list(prompts_of(self.bundle, self.renderer, query))
        except UserError as error:
            raise refused(error) from None
        return Asked(tuple(Prompted(one.ids, self._beginning(k, one.ids)) for k, one in some))

    def _query(self, row: Mapping[str, Any]) -> Example:
        try:
            return replace(as_example(row, 1), id="of the request")
        except UserError as error:
            raise refused(error) from None

    def _beginning(self, k: int | None, ids: Ids) -> int:
        """A merge with what follows may take the last tokens away: then all later queries share that much less."""
        if k is None:
            return 0
        shared = self._begins[k] = self._begins[k][: common([ids], self._begins[k])]
        return len(shared) if len(shared) >= WORTH_KEEPING and ids[: len(shared)] == shared else 0


class HostedBase(Hosted):
    """The model as it came. `renderer` is of its chat template, None where it has none."""

    def __init__(self, encoder: Encoder, renderer: Renderer | None, **settings: Any):
        super().__init__(BASE, encoder, **settings)
        self.renderer = renderer
        self._end_ids = {encoder.tokenizer.eos_token_id} - {None}

    @property
    def new_tokens(self) -> int:
        return BASE_TOKENS

    def marks(self, chat: bool) -> tuple[str, ...]:
        return (self.renderer.end_text,) if chat and self.renderer is not None else ()

    def about(self) -> dict[str, Any]:
        return {"chat": self.renderer is not None, "max_new_tokens": BASE_TOKENS}

    def read(self, ids: Sequence[int], chat: bool) -> tuple[str, bool, int]:
        if chat and self.renderer is not None:
            return trimmed(self.renderer, ids)
        ended = bool(ids) and ids[-1] in self._end_ids
        return self.encoder.decode(ids[:-1] if ended else ids), ended, 0

    def _written(self, prompt: Any, chat: bool) -> Asked:
        if not chat:
            ids = self.encoder.encode((Piece(prompt, data=True),), special=True).ids
            if not ids:
                raise Refusal(400, "the prompt is empty", param="prompt")
            return Asked((Prompted(ids, 0),))
        if self.renderer is None:
            raise Refusal(
                400, "the base model has no chat template; send it text: /v1/completions", code="no_chat", param="model"
            )
        try:
            query = replace(as_example({"prompt": prompt}, 1), id="of the request")
            return Asked((Prompted(self.renderer.prompt((), query).ids, 0),))
        except UserError as error:
            raise refused(error) from None


def trimmed(renderer: Renderer, ids: Sequence[int]) -> tuple[str, bool, int]:
    said, ended = renderer.answer_text(ids)
    whole = renderer.encoder.decode(ids)
    return said, ended, len(whole) - len(whole.lstrip())


def refused(error: UserError) -> Refusal:
    too_long = error.code == "too-long"
    return Refusal(400, error.line(), code="context_length_exceeded" if too_long else "invalid_query")
