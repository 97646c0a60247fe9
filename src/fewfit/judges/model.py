"""A model that is asked for its opinion: conversations in, replies out, and no conversation is paid for twice.

    RemoteModel(Endpoint("qwen3-32b", "http://localhost:8000/v1"))    behind an endpoint, which keeps its answers
    LocalModel(local.load("smollm2"))                                 on this machine; what it said is kept as well

Both are asked the same way; a further judge is a class with `name`, `complete` and `again`. They also answer questions:
`write` is what judges/answering.py wants.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from fewfit import draw
from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.models.remote import Completion, Endpoint, Request
from fewfit.models.remote.cache import Answers

Conversation = tuple[Message, ...]

MAX_TOKENS = 2048  # MT-Bench's own
BATCH, MULTIPLE = 4, 128
HERE = "this machine"
CUT = "was cut off at the last token allowed"
TOO_LONG = "the prompt does not fit"


class Reply(NamedTuple):
    """`problem` is empty where the model was given all and said all that it would."""

    text: str
    problem: str = ""


class JudgeModel(Protocol):
    name: str

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

    def complete(self, asked: Sequence[Conversation]) -> list[Reply]:
        requests = [Request(one, self.max_tokens, temperature=self.temperature, seed=self.seed) for one in asked]
        return [Reply(done.text, CUT if done.finish == "length" else "") for done in self.endpoint.complete(requests)]

    def again(self, seed: int, temperature: float) -> RemoteModel:
        return RemoteModel(self.endpoint, max_tokens=self.max_tokens, temperature=temperature, seed=seed)

    def write(self, conversations: Sequence[Conversation]) -> list[str]:
        return [reply.text for reply in self.complete(conversations)]


class LocalModel:
    """A loaded model with a chat template. Replies are kept under the model's digest and the whole conversation, each
    when its pass is over: a process that is killed loses the pass it was in.

    Passes are of one shape (BATCH rows, filled up with copies; lengths padded to a multiple), in which a row is rounded
    alike whoever shares it.
    """

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

    def complete(self, asked: Sequence[Conversation]) -> list[Reply]:
        keys = [self._key(one) for one in asked]
        found: dict[str, Reply] = {}
        missing: dict[str, Conversation] = {}
        for key, one in zip(keys, asked, strict=True):
            kept = self._kept.get(key) if self._kept is not None else None
            if kept is not None:
                found[key] = Reply(kept.text, kept.finish)
            else:
                missing[key] = one
        found |= self._written(missing)
        return [found[key] for key in keys]

    def again(self, seed: int, temperature: float) -> LocalModel:
        other = copy(self)
        other.seed, other.temperature = seed, temperature
        return other

    def write(self, conversations: Sequence[Conversation]) -> list[str]:
        return [reply.text for reply in self.complete(conversations)]

    def _written(self, missing: dict[str, Conversation]) -> dict[str, Reply]:
        found: dict[str, Reply] = {}
        by_length: dict[int, dict[str, tuple[int, ...]]] = {}
        for key, one in missing.items():
            ids = self._ids(one)
            if ids is None:
                found[key] = Reply("", TOO_LONG)
            else:
                by_length.setdefault(-(-len(ids) // MULTIPLE), {})[key] = ids
        for _, some in sorted(by_length.items()):
            rows = list(some)
            for start in range(0, len(rows), BATCH):
                chunk = rows[start : start + BATCH]
                for key, reply, tokens in self._pass({key: some[key] for key in chunk}):
                    found[key] = reply
                    if self._kept is not None:
                        # What ended it is kept in our own words.
                        done = Completion(reply.text, len(some[key]), tokens, reply.problem, False, 0.0)
                        self._kept.put(key, HERE, self.name, done)
        return found

    def _pass(self, ids: dict[str, tuple[int, ...]]) -> list[tuple[str, Reply, int]]:
        from fewfit.engine.generate import greedy

        keys = list(ids)
        filled = keys + keys[-1:] * (BATCH - len(keys))
        written = greedy(
            self.loaded.model,
            [ids[key] for key in filled],
            max_new_tokens=self.max_tokens,
            end_ids=self._renderer.end_ids,
            batch=BATCH,
            multiple=MULTIPLE,
            adjust=drawn(filled, self.seed, self.temperature) if self.temperature else None,
        )
        out = []
        for key, new in zip(keys, written, strict=False):
            text, ended = self._renderer.answer_text(new)
            out.append((key, Reply(text, "" if ended else CUT), len(new)))
        return out

    def _ids(self, one: Conversation) -> tuple[int, ...] | None:
        try:
            return tuple(self._renderer.prompt((), Example("judged", one, "")).ids)
        except UserError as error:
            if error.code != "too-long":
                raise
            return None

    def _key(self, one: Conversation) -> str:
        whole = {
            "model": self.loaded.ref.digest,
            "dtype": self.loaded.dtype,
            "template": self._renderer.chat_template,
            "messages": [[turn.role, turn.content] for turn in one],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed if self.temperature else None,
        }
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _kept(self) -> Answers | None:
        return Answers() if self._cache else None

    @cached_property
    def _renderer(self) -> Any:
        from fewfit.render import Renderer

        tokenizer = self.loaded.tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise UserError(
                "cannot be asked for its opinion: its tokenizer has no chat template",
                where=self.name,
                hint="take a model that was trained for chat as the judge",
            )
        context = getattr(self.loaded.config.get_text_config(), "max_position_embeddings", None)
        return Renderer.resolve(
            tokenizer, (), chat="on", context_length=context, max_new_tokens=self.max_tokens, no_instruction=True
        )


def drawn(keys: Sequence[str], seed: int, temperature: float) -> Callable[[Sequence[int], int, Any], Any]:
    """The arg-max of logits over the temperature plus Gumbel noise is a sample; noise by hash, so that it is the same
    whoever shares the pass."""
    import torch

    def adjusted(indices: Sequence[int], step: int, logits_BV: Any) -> Any:
        noise = []
        for index in indices:
            generator = torch.Generator().manual_seed(draw.number(seed, keys[index], "sample", step) >> 1)
            uniform_V = torch.rand(logits_BV.shape[1], generator=generator)
            noise.append(-torch.log(-torch.log(uniform_V.clamp(1e-12, 1 - 1e-7))))
        return logits_BV.float() / temperature + torch.stack(noise).to(logits_BV.device)

    return adjusted
