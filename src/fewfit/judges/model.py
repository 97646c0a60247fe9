"""A model that is asked for its opinion: conversations in, replies out, and no conversation is paid for twice.

    RemoteModel(Endpoint("qwen3-32b", "http://localhost:8000/v1"))    behind an endpoint, which keeps its answers
    LocalModel(local.load("smollm2"))                                 on this machine; what it said is kept as well

Both are asked the same way; a further judge is a class with `name`, `complete` and `again`. They also answer questions:
`write` is what judges/answering.py wants.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.models.remote import Completion, Endpoint, Request
from fewfit.models.remote.cache import Answers
from fewfit.models.remote.trouble import TOO_LONG as ENDPOINT_TOO_LONG
from fewfit.writing import AskedInTurns, Decoding, LocalWriter

Conversation = tuple[Message, ...]

MAX_TOKENS = 2048  # MT-Bench's own
BLOCK = 16  # conversations
HERE = "this machine"
CUT = "was cut off at the last token allowed"
TOO_LONG = "the prompt does not fit"


class Reply(NamedTuple):
    """`problem` is empty where the model was given all and said all that it would."""

    text: str
    problem: str = ""


class JudgeModel(Protocol):
    name: str

    @property
    def key(self) -> str:
        """Which model it is, and how it is asked."""

    def complete(self, asked: Sequence[Conversation]) -> list[Reply]:
        """In their order. What is said to one does not depend on the others."""

    def again(self, seed: int, temperature: float) -> JudgeModel:
        """The same model, asked by chance: what it says twice is what it means. Of an endpoint the seed tells one
        asking from the next also at temperature 0, where some do not repeat themselves."""


class RemoteModel:
    """A model behind an endpoint that takes messages."""

    def __init__(
        self, endpoint: Endpoint, *, max_tokens: int = MAX_TOKENS, temperature: float = 0.0, seed: int | None = None
    ):
        self.endpoint, self.max_tokens, self.temperature, self.seed = endpoint, max_tokens, temperature, seed
        self.name = endpoint.name

    @property
    def key(self) -> str:
        return f"{self.name} at {self.endpoint.url}/{self.max_tokens}/{self.temperature}/{self.seed}"

    def complete(self, asked: Sequence[Conversation]) -> list[Reply]:
        try:
            return self._complete(asked)
        except UserError as error:
            if error.code != ENDPOINT_TOO_LONG:
                raise
        if len(asked) == 1:
            return [Reply("", TOO_LONG)]
        return [reply for one in asked for reply in self.complete([one])]  # what was answered is kept

    def _complete(self, asked: Sequence[Conversation]) -> list[Reply]:
        requests = [Request(one, self.max_tokens, temperature=self.temperature, seed=self.seed) for one in asked]
        return [Reply(done.text, CUT if done.finish == "length" else "") for done in self.endpoint.complete(requests)]

    def again(self, seed: int, temperature: float) -> RemoteModel:
        return RemoteModel(self.endpoint, max_tokens=self.max_tokens, temperature=temperature, seed=seed)

    def write(self, conversations: Sequence[Conversation]) -> list[str]:
        return texts(self.complete(conversations), self.name)


class LocalModel:
    """A loaded model with a chat template. Replies are kept under the model's digest and the whole conversation, BLOCK
    by BLOCK: a process that is killed loses those that were being written."""

    def __init__(
        self,
        loaded: Any,
        *,
        max_tokens: int = MAX_TOKENS,
        temperature: float = 0.0,
        seed: int = 0,
        cache: bool = True,
    ):
        self.loaded, self.max_tokens, self.temperature, self.seed = loaded, max_tokens, temperature, seed
        self.name = loaded.ref.short_name
        self._cache = cache

    @property
    def key(self) -> str:
        ref = self.loaded.ref
        return f"{ref.digest}/{self.loaded.dtype}/{self.max_tokens}/{self.temperature}/{self.seed}"

    def complete(self, asked: Sequence[Conversation]) -> list[Reply]:
        keys = [self._key(one) for one in asked]
        found: dict[str, Reply] = {}
        missing: dict[str, Conversation] = {}
        for key, one in zip(keys, asked, strict=True):
            kept = self._kept.get(key) if self._kept is not None else None
            if kept is not None:
                found[key] = Reply(kept.text, kept.finish)
            elif self.writer.count(AskedInTurns((), one)) + self.max_tokens > (self.writer.limit or math.inf):
                found[key] = Reply("", TOO_LONG)
            else:
                missing[key] = one
        rows = list(missing)
        for start in range(0, len(rows), BLOCK):
            found |= self._written({key: missing[key] for key in rows[start : start + BLOCK]})
        return [found[key] for key in keys]

    def again(self, seed: int, temperature: float) -> LocalModel:
        other = copy(self)
        other.seed, other.temperature = seed, temperature
        return other

    def write(self, conversations: Sequence[Conversation]) -> list[str]:
        return texts(self.complete(conversations), self.name)

    def recall(self, one: Conversation, answers: Sequence[str]) -> dict[str, float] | None:
        """What it found of each of these answers, if it was asked before."""
        kept = self._kept.get(self._key(one, answers)) if self._kept is not None else None
        return None if kept is None else dict(zip(answers, json.loads(kept.text), strict=True))

    def remember(self, one: Conversation, answers: Sequence[str], shares: Mapping[str, float]) -> None:
        if self._kept is not None:
            told = json.dumps([shares[answer] for answer in answers])
            self._kept.put(self._key(one, answers), HERE, self.name, Completion(told, 0, 0, "", False, 0.0))

    def _written(self, some: dict[str, Conversation]) -> dict[str, Reply]:
        decoding = Decoding(self.max_tokens, temperature=self.temperature, seed=self.seed)
        found = {}
        written = self.writer.write([AskedInTurns((), one) for one in some.values()], list(some), decoding)
        for key, one in zip(some, written, strict=True):
            found[key] = Reply(one.text, "" if one.ended else CUT)
            if self._kept is not None:
                # What ended it is kept in our own words.
                done = Completion(one.text, one.prompt_tokens, one.new_tokens, found[key].problem, False, 0.0)
                self._kept.put(key, HERE, self.name, done)
        return found

    def _key(self, one: Conversation, answers: Sequence[str] = ()) -> str:
        whole = {
            "model": self.loaded.ref.digest,
            "dtype": self.loaded.dtype,
            "template": self.writer.renderer.chat_template,
            "messages": [[turn.role, turn.content] for turn in one],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed if self.temperature else None,
        }
        if answers:
            whole["answers"] = list(answers)
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _kept(self) -> Answers | None:
        return Answers() if self._cache else None

    @cached_property
    def writer(self) -> LocalWriter:
        if not getattr(self.loaded.tokenizer, "chat_template", None):
            raise UserError(
                "cannot be asked for its opinion: its tokenizer has no chat template",
                where=self.name,
                hint="take a model that was trained for chat as the judge",
            )
        return LocalWriter(self.loaded.model, self.loaded.tokenizer)


def texts(replies: Sequence[Reply], name: str) -> list[str]:
    """An answer that was cut off is one; of a prompt that does not fit there is none."""
    if any(reply.problem == TOO_LONG for reply in replies):
        raise UserError("a conversation and its answer do not fit the model's context", where=name,
                        hint="take a model with a longer one, or fewer max_tokens")  # fmt: skip
    return [reply.text for reply in replies]
