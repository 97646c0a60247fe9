"""What an endpoint is asked and what it answers, as records and as the JSON that goes over the line."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fewfit.examples.example import Message
from fewfit.files import characters

IMPOSSIBLE = -1e4  # nats: of what has no probability at all
TOP = 2  # of the likeliest tokens at each place: the arg-max and its lead over the next; endpoints allow 5 or more


class BrokenAnswer(ValueError):
    """An answer that is not what the interface promises."""


@dataclass(frozen=True)
class Request:
    """Text goes to /completions, messages to /chat/completions.

    With `echo`, which text alone can have, the tokens of so many characters at the prompt's end come back with their
    log-probabilities, where the endpoint does that. Two equal requests have one answer, also at a `temperature` above
    0: `seed` tells them apart.
    """

    prompt: str | tuple[Message, ...]
    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int | None = None
    echo: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0  # not in OpenAI's interface; vLLM and others take it

    @property
    def path(self) -> str:
        return "/completions" if isinstance(self.prompt, str) else "/chat/completions"

    def body(self, model: str) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model, "max_tokens": self.max_tokens, "temperature": self.temperature}
        if isinstance(self.prompt, str):
            body["prompt"] = self.prompt
        else:
            body["messages"] = [{"role": one.role, "content": one.content} for one in self.prompt]
        if self.stop:
            body["stop"] = list(self.stop)
        if self.seed is not None:
            body["seed"] = self.seed
        if self.echo:
            body |= {"echo": True, "logprobs": TOP}
        # What is not asked for is not named, so that answers to earlier requests are still found by their keys.
        if self.top_p != 1:
            body["top_p"] = self.top_p
        if self.repetition_penalty != 1:
            body["repetition_penalty"] = self.repetition_penalty
        return body

    def key(self, url: str, model: str) -> str:
        """Of the whole request: where it goes, to which model, with which parameters. Who asks is no part of it."""
        whole = {"url": url, "path": self.path, "body": self.body(model), "echo": self.echo}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Echoed:
    """One token of an echoed prompt, or the one written behind it. The first token of all has no log-probability."""

    text: str
    logp: float | None
    top: tuple[tuple[str, float], ...]  # the likeliest tokens there, best first


@dataclass(frozen=True)
class Completion:
    """`prompt_tokens` and `completion_tokens` are 0 where the endpoint does not count; `seconds` is what the answer
    took when it was made, also where it now comes from the cache."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: str
    from_cache: bool
    seconds: float
    echoed: tuple[Echoed, ...] = ()

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def as_json(self) -> dict[str, Any]:
        record = asdict(self)
        del record["from_cache"]
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Completion:
        """As the cache has kept it."""
        echoed = tuple(Echoed(x["text"], x["logp"], tuple((t, p) for t, p in x["top"])) for x in record["echoed"])
        return Completion(**{**record, "echoed": echoed}, from_cache=True)

    def taking(self, seconds: float) -> Completion:
        return replace(self, seconds=round(seconds, 3))


def read(answer: Any, request: Request) -> Completion:
    """The answer's JSON; raises BrokenAnswer where it is none, or not of the interface."""
    try:
        if isinstance(answer, str):  # sent as something else than JSON, which it may be
            answer = json.loads(answer)
        choice = answer["choices"][0]
        text = choice["text"] if isinstance(request.prompt, str) else choice["message"]["content"] or ""
        usage = answer.get("usage") or {}
        if not isinstance(text, str):
            raise BrokenAnswer("its text is none")
        return Completion(
            text=characters(text),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            finish=str(choice.get("finish_reason") or "unknown"),
            from_cache=False,
            seconds=0.0,
            echoed=behind(read_echoed(choice.get("logprobs")), request.echo) if request.echo else (),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise BrokenAnswer("is not what the interface promises") from error


def behind(echoed: Sequence[Echoed], characters: int) -> tuple[Echoed, ...]:
    """The tokens of so many characters at the end, and the one that was written there: of a long prompt the rest would
    fill the cache."""
    wanted = characters + (len(echoed[-1].text) if echoed else 0)
    start = len(echoed)
    while start > 0 and wanted > 0:
        start -= 1
        wanted -= len(echoed[start].text)
    return tuple(echoed[start:])


def read_echoed(logprobs: Any) -> tuple[Echoed, ...]:
    """Nothing where the endpoint does not tell: it may have passed over what it does not know."""
    if not logprobs or not logprobs.get("tokens") or not logprobs.get("token_logprobs"):
        return ()
    tokens, logps = logprobs["tokens"], logprobs["token_logprobs"]
    tops = logprobs.get("top_logprobs") or [None] * len(tokens)
    ranked = [sorted((top or {}).items(), key=lambda one: -one[1])[:TOP] for top in tops]
    return tuple(
        Echoed(str(text), None if logp is None else finite(logp), tuple((str(t), finite(p)) for t, p in top))
        for text, logp, top in zip(tokens, logps, ranked, strict=True)
    )


def finite(logp: Any) -> float:
    """JSON knows no infinity, though some servers write it."""
    value = float(logp)
    if math.isnan(value):
        raise BrokenAnswer("a log-probability is no number")
    return max(value, IMPOSSIBLE)
