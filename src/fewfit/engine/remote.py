"""The prompter over a model behind an endpoint: texts written to prompts, and likelihoods where it tells them.

Without likelihoods every row is written, and its `nll` is unknown. With them teacher forcing proves hits as it does
here: the answer's tokens come back each with the likeliest token at its place, and only misses are written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fewfit.engine.learner import Row, Scored
from fewfit.errors import UserError
from fewfit.models.remote.exchange import Echoed, Request
from fewfit.models.remote.served import Served, is_likeliest, tokens_of
from fewfit.models.remote.tokens import messages, text
from fewfit.render import Renderer

Ids = tuple[int, ...]
UNKNOWN = Scored(nll=None, tokens=None, hit=False, margin=None, argmax=())


class RemotePrompter:
    """What is asked twice, the cache answers: nothing is remembered here."""

    def __init__(self, served: Served, renderer: Renderer):
        self.served, self.renderer, self.tokenizer = served, renderer, renderer.tokenizer

    # ---- as the stream sees it ---------------------------------------------------------------------------------------

    def score(self, rows: Sequence[Row]) -> list[Scored | None]:
        prompts = [row.ids[: row.prompt_tokens] for row in rows]
        if not self.served.likelihood:
            written = self.served.endpoint.complete([self.request(prompt) for prompt in prompts])
            return [replace(UNKNOWN, prompt_tokens=one.prompt_tokens or None) for one in written]
        behind = list(zip(prompts, rows, strict=True))
        answers = list(self.tell([(prompt, row.ids[row.prompt_tokens :]) for prompt, row in behind]))
        choices = self.tell([(prompt, choice) for prompt, row in behind for choice in row.choices])
        return [
            replace(answer, choices=tuple(-self.known(next(choices), choice) for choice in row.choices))
            for answer, row in zip(answers, rows, strict=True)
        ]

    def generate(
        self, rows: Sequence[Row], max_new_tokens: int, begun: Sequence[Sequence[int]] | None = None
    ) -> list[Ids]:
        """How an answer begins is of no use here: it is written as one."""
        return self.write([row.ids[: row.prompt_tokens] for row in rows])

    def drop_graphs(self) -> None:
        """There are none."""

    def enable_recompute(self) -> bool:
        return False

    def close(self) -> None:
        """The endpoint stays: the bundle is judged behind it."""

    # ---- prompts and answers as ids ----------------------------------------------------------------------------------

    def request(self, prompt: Ids) -> Request:
        most = self.renderer.settings.max_new_tokens  # in bytes: more tokens than those of any answer as long
        if self.served.chat:
            return Request(messages(self.tokenizer, prompt), max_tokens=most)
        return Request(text(self.tokenizer, prompt), max_tokens=most, stop=(self.renderer.end_text,))

    def write(self, prompts: Sequence[Ids]) -> list[Ids]:
        answers = self.served.endpoint.complete([self.request(prompt) for prompt in prompts])
        return [self.ids(one.text) for one in answers]

    def tell(self, pairs: Sequence[tuple[Ids, Ids]]) -> Iterator[Scored]:
        """How likely each answer is behind its prompt."""
        answers = [text(self.tokenizer, answer) for _, answer in pairs]
        whole = [
            Request(text(self.tokenizer, prompt) + answer, max_tokens=1, echo=len(answer))
            for (prompt, _), answer in zip(pairs, answers, strict=True)
        ]
        for answer, told in zip(answers, self.served.endpoint.complete(whole), strict=True):
            found = tokens_of(answer, told)
            if found is None:
                yield UNKNOWN
                continue
            held, is_apart = found
            yield Scored(
                nll=-sum(one.logp or 0.0 for one in held),
                tokens=len(held),
                hit=is_apart and all(map(is_likeliest, held)),
                margin=min(one.top[0][1] - one.top[1][1] if len(one.top) > 1 else math.inf for one in held),
                argmax=self.until_wrong(held),
                prompt_tokens=told.prompt_tokens - len(held) if told.prompt_tokens else None,
            )

    def until_wrong(self, held: Sequence[Echoed]) -> Ids:
        wrong = next((n for n, one in enumerate(held) if not is_likeliest(one)), len(held) - 1)
        return self.ids("".join(one.top[0][0] for one in held[: wrong + 1]))

    def known(self, told: Scored, choice: Ids) -> float:
        if told.nll is None:
            shown = text(self.tokenizer, choice).strip()
            raise UserError(
                f"its tokens do not spell {shown!r}, so nobody knows how likely that is",
                where=self.served.endpoint.url,
                hint="score what is written: give --metric match (select-demos: --judge match --strategy racing)",
            )
        return told.nll

    def ids(self, written: str) -> Ids:
        return tuple(self.tokenizer(written, add_special_tokens=False)["input_ids"])
