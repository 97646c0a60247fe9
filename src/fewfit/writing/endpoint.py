"""A model behind an endpoint (models/remote), which keeps what was paid for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fewfit import draw
from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.writing.asked import AnyAsked, Asked
from fewfit.writing.decoding import Decoding, cut
from fewfit.writing.writer import ANSWERS, Affirmed, Written

ENDPOINT_TOKENS = 16_000  # of a prompt, where nobody says what the endpoint takes
LETTERS_A_TOKEN = 3
ANSWER_TOKENS, THOUGHT_TOKENS = 4, 1024  # of yes or no, and of one that thinks first
THINKS, THOUGHT = "<think>", "</think>"
MOST_STOPS = 4  # that OpenAI's interface takes; all of them are cut at here, too
# Greedy, any model repeats a word here, and none does under such a penalty.
REPEATING, STRONG, PROOF_TOKENS = "echo echo echo echo echo echo echo echo", 5.0, 8


class EndpointWriter:
    """`chat`: it takes messages; a text is then put to it as one turn."""

    def __init__(self, endpoint: Any, *, chat: bool = False, limit: int | None = ENDPOINT_TOKENS):
        self.endpoint, self.chat, self.limit = endpoint, chat, limit
        self._penalizes = False  # it has proved so

    def count(self, text: str | AnyAsked) -> int:
        if isinstance(text, str):
            return len(text) // LETTERS_A_TOKEN
        if isinstance(text, Asked):
            return self.count(text.text)
        return sum(self.count(one.content) + 4 for one in text.messages)

    def write(self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding) -> list[Written]:
        from fewfit.models.remote import Request

        if decoding.repetition_penalty != 1:
            self._prove_penalty()
        # Some begin an answer with a blank line, or with thoughts parted by them: at those it must not end.
        stops = tuple(mark for mark in decoding.stop if mark.strip()) if self.chat else decoding.stop
        requests = [
            Request(
                self._prompt(one),
                decoding.max_new_tokens,
                stops[:MOST_STOPS],
                decoding.temperature,
                None if decoding.is_greedy else draw.number(decoding.seed, key, "sample") >> 33,
                top_p=1.0 if decoding.is_greedy else decoding.top_p,
                repetition_penalty=decoding.repetition_penalty,
            )
            for one, key in zip(asked, keys, strict=True)
        ]
        out = []
        for done in self.endpoint.complete(requests):
            text, stopped = cut(answer_in(done.text) if self.chat else done.text, decoding)
            out.append(Written(text, stopped or done.finish == "stop", done.prompt_tokens, done.completion_tokens))
        return out

    def stream(
        self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding
    ) -> Iterator[tuple[int, Written]]:
        """All at once: what was paid for is kept by the endpoint (models/remote/cache.py)."""
        yield from enumerate(self.write(asked, keys, decoding))

    def affirm(self, asked: Sequence[AnyAsked]) -> list[Affirmed]:
        """By what it says: endpoints give no likelihoods that could be relied on. One that was cut off before it said
        anything thinks first, and is asked again."""
        from fewfit.models.remote import Request

        prompts = [self._prompt(one) for one in asked]
        answers = [[done] for done in self.endpoint.complete([Request(one, ANSWER_TOKENS) for one in prompts])]
        cut_off = [
            n
            for n, (done,) in enumerate(answers)
            if self.chat and done.finish != "stop" and not answer_in(done.text).strip()
        ]
        again = self.endpoint.complete([Request(prompts[n], THOUGHT_TOKENS) for n in cut_off])
        for n, done in zip(cut_off, again, strict=True):
            answers[n].append(done)
        return [
            Affirmed(
                answer_in(some[-1].text).strip().lower().startswith(ANSWERS[0]),
                sum(done.prompt_tokens for done in some),
                sum(done.completion_tokens for done in some),
            )
            for some in answers
        ]

    def _prompt(self, one: AnyAsked) -> str | tuple[Message, ...]:
        if isinstance(one, Asked):
            return (Message("user", one.text),) if self.chat else one.text
        if not self.chat:
            raise UserError(
                "a conversation in turns, and the endpoint is asked by text",
                where=self.endpoint.url,
                hint="ask it by messages, or take a prompt of plain text",
            )
        return one.messages

    def _prove_penalty(self) -> None:
        """repetition_penalty is no part of OpenAI's interface: some endpoints take it, some refuse it, and some pass
        over what they do not know, after which all that was measured would be of another setting."""
        from fewfit.models.remote import Request
        from fewfit.models.remote.trouble import REFUSED

        if self._penalizes:
            return
        prompt = self._prompt(Asked("", REPEATING))
        hint = "leave the repetition penalty at 1, or take an endpoint that has it (vLLM, for one)"
        (plain,) = self.endpoint.complete([Request(prompt, PROOF_TOKENS)])
        try:
            (other,) = self.endpoint.complete([Request(prompt, PROOF_TOKENS, repetition_penalty=STRONG)])
        except UserError as error:
            if error.code != REFUSED:
                raise
            raise UserError(
                f"takes no repetition penalty: {error.message}", where=self.endpoint.url, hint=hint, code=REFUSED
            ) from None
        if plain.text == other.text:
            raise UserError(
                f"passes over the repetition penalty: it writes the same without it and with {STRONG:g}",
                where=self.endpoint.url,
                hint=hint,
                code=REFUSED,
            )
        self._penalizes = True


def answer_in(text: str) -> str:
    """Without what a model thinks beforehand, aloud; of thoughts that do not end there is no answer."""
    if text.lstrip().startswith(THINKS):
        text = text.partition(THOUGHT)[2]
    return text.lstrip("\r\n")
