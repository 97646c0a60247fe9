"""Answers as OpenAI writes them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fewfit.serve.jobs import Token
from fewfit.serve.slots import Delta


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int
    reused: int
    new_tokens: int

    def form(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.new_tokens,
            "total_tokens": self.prompt_tokens + self.new_tokens,
            "prompt_tokens_details": {"cached_tokens": self.reused},
        }


@dataclass(frozen=True)
class Answer:
    """One whole answer."""

    text: str
    tokens: tuple[Token, ...]
    finish: str
    new_tokens: int


def gathered(deltas: Sequence[Delta], index: int) -> Answer:
    mine = [delta for delta in deltas if delta.index == index]
    tokens = tuple(token for delta in mine for token in delta.tokens)
    last = mine[-1]
    return Answer("".join(delta.text for delta in mine), tokens, last.finish or "stop", last.new_tokens)


@dataclass(frozen=True)
class Form:
    """`logprobs`: they were asked for."""

    model: str
    logprobs: bool
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answers: Sequence[Answer], usage: Usage) -> dict[str, Any]:
        choices = [self.choice(index, one) for index, one in enumerate(answers)]
        return {**self.head(streamed=False), "choices": choices, "usage": usage.form()}

    def chunk(self, choices: Sequence[dict[str, Any]], usage: Usage | None = None) -> str:
        body = {**self.head(streamed=True), "choices": list(choices)}
        if usage is not None:
            body["usage"] = usage.form()
        return event(body)

    def first(self, index: int) -> dict[str, Any] | None:
        """What is sent before the first of an answer."""
        return None

    def head(self, *, streamed: bool) -> dict[str, Any]:
        raise NotImplementedError

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        raise NotImplementedError

    def more(self, delta: Delta, start: int) -> dict[str, Any]:
        """`start`: characters that were sent before."""
        raise NotImplementedError


class CompletionForm(Form):
    def head(self, *, streamed: bool) -> dict[str, Any]:
        return {"id": f"cmpl-{self.id}", "object": "text_completion", "created": self.created, "model": self.model}

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        logprobs = self._logprobs(answer.tokens, 0)
        return {"index": index, "text": answer.text, "logprobs": logprobs, "finish_reason": answer.finish}

    def more(self, delta: Delta, start: int) -> dict[str, Any]:
        logprobs = self._logprobs(delta.tokens, start)
        return {"index": delta.index, "text": delta.text, "logprobs": logprobs, "finish_reason": delta.finish}

    def _logprobs(self, tokens: Sequence[Token], start: int) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        offsets = []
        for token in tokens:
            offsets.append(start)
            start += len(token.text)
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logp for token in tokens],
            "top_logprobs": [dict(token.likeliest) for token in tokens],
            "text_offset": offsets,
        }


class ChatForm(Form):
    def head(self, *, streamed: bool) -> dict[str, Any]:
        kind = "chat.completion.chunk" if streamed else "chat.completion"
        return {"id": f"chatcmpl-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        logprobs = self._logprobs(answer.tokens)
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}

    def first(self, index: int) -> dict[str, Any] | None:
        delta = {"role": "assistant", "content": ""}
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}

    def more(self, delta: Delta, start: int) -> dict[str, Any]:
        said = {"content": delta.text} if delta.text else {}
        logprobs = self._logprobs(delta.tokens) if delta.tokens else None
        return {"index": delta.index, "delta": said, "logprobs": logprobs, "finish_reason": delta.finish}

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        return {
            "content": [
                {**place(token.text, token.logp), "top_logprobs": [place(*one) for one in token.likeliest]}
                for token in tokens
            ],
            "refusal": None,
        }


def place(text: str, logp: float) -> dict[str, Any]:
    return {"token": text, "logprob": logp, "bytes": list(text.encode("utf-8", "replace"))}


def event(body: Any) -> str:
    """Of a stream; JSON has no line breaks, which would end it."""
    return f"data: {json.dumps(body, ensure_ascii=False, allow_nan=False)}\n\n"


DONE = "data: [DONE]\n\n"
