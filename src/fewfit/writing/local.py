"""A model on this machine.

What it writes for a prompt must not depend on the prompts beside it, since these may be examples that come later in
the stream: passes have always the same shapes (BATCH rows, filled up with copies; few lengths, up to which rows are
padded), in which a row is rounded alike whoever shares it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

from fewfit.examples.example import Example, Message
from fewfit.models.configs import context_length
from fewfit.render import Renderer
from fewfit.render.encode import Encoder
from fewfit.render.rendered import Piece, Prompt
from fewfit.writing.asked import AnyAsked, Asked, AskedInTurns
from fewfit.writing.decoding import Decoding, cut
from fewfit.writing.sampling import adjustment
from fewfit.writing.writer import ANSWERS, Affirmed, Written

BATCH = 16
LENGTHS = (128, 512)  # tokens behind what is shared, and multiples of the last one
Ids = tuple[int, ...]
Before = str | tuple[Message, ...]
Keep = Callable[[Any, Sequence[int]], Any]  # what keeps a beginning for a model


class LocalWriter:
    """A loaded model, as it is. Conversations in turns go through its tokenizer's chat template.

    `together`: what is written for one prompt may be rounded by what is written for others beside it, which is several
    times as fast where they share a beginning.
    """

    def __init__(self, model: Any, tokenizer: Any, *, together: bool = False):
        self.together = together
        self.model, self.tokenizer, self.encoder = model, tokenizer, Encoder(tokenizer)
        self.end_ids = frozenset({tokenizer.eos_token_id} - {None})
        self.limit = context_length(model.config)
        self._kept: tuple[Before, Keep | None, Any] = ("", None, None)

    def forget(self) -> None:
        """For when the model's weights have changed: what was kept of a beginning is of other ones."""
        self._kept = ("", None, None)

    def count(self, text: str | AnyAsked) -> int:
        return len(self.ids(Asked("", text) if isinstance(text, str) else text))

    def write(self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding) -> list[Written]:
        out = dict(self.stream(asked, keys, decoding))
        return [out[n] for n in range(len(asked))]

    def stream(
        self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding
    ) -> Iterator[tuple[int, Written]]:
        from fewfit.engine import packed
        from fewfit.engine.aligned import beginning
        from fewfit.engine.beginning import prefix

        together = self.together and packed.usable(self.model)
        write = self._together if together else self._apart
        for kept, spent, some in self._parted(asked, prefix if together else beginning):
            ids = {n: self.ids(asked[n]) for n in some}
            start = 0 if kept is None else len(kept.ids)
            in_turns = isinstance(asked[some[0]], AskedInTurns)
            how: dict[str, Any] = {
                "max_new_tokens": decoding.max_new_tokens,
                "end_ids": self.renderer.end_ids if in_turns else self.end_ids,
                "ended": partial(self._is_over, in_turns=in_turns, decoding=decoding),
            }
            for n, new in write(kept, ids, keys, decoding, how):
                text, ended = self._text(new, in_turns, decoding)
                yield n, Written(text, ended, len(ids[n]) - start + spent, len(new))
                spent = 0  # what is shared was computed once

    def _together(
        self, kept: Any, ids: dict[int, Ids], keys: Sequence[str], decoding: Decoding, how: dict[str, Any]
    ) -> Iterator[tuple[int, Ids]]:
        from fewfit.engine import joint

        adjust = adjustment(decoding, [keys[n] for n in ids])
        places = list(ids)
        for k, new in joint.stream(self.model, list(ids.values()), past=kept, adjust=adjust, **how):
            yield places[k], new

    def _apart(
        self, kept: Any, ids: dict[int, Ids], keys: Sequence[str], decoding: Decoding, how: dict[str, Any]
    ) -> Iterator[tuple[int, Ids]]:
        from fewfit.engine.aligned import write_behind
        from fewfit.engine.generate import greedy

        start = 0 if kept is None else len(kept.ids)
        for most, chunk in chunks({n: len(one) - start for n, one in ids.items()}):
            filled = chunk + chunk[-1:] * (BATCH - len(chunk))
            prompts = [ids[n] for n in filled]
            how |= {"longest": start + most, "adjust": adjustment(decoding, [keys[n] for n in filled]), "batch": BATCH}
            texts = (
                greedy(self.model, prompts, **how) if kept is None else write_behind(self.model, kept, prompts, **how)
            )
            yield from zip(chunk, texts, strict=False)

    def affirm(self, asked: Sequence[AnyAsked]) -> list[Affirmed]:
        from fewfit.engine import likelihood
        from fewfit.engine.beginning import prefix

        out = [Affirmed(False, 0)] * len(asked)
        for past, spent, some in self._parted(asked, prefix):
            ids = [self.ids(asked[n]) for n in some]
            start = 0 if past is None else len(past.ids)
            told = likelihood.logp(self.model, past, ids, [self._answers(asked[n]) for n in some])
            for n, one, (yes, no) in zip(some, ids, told, strict=True):
                out[n] = Affirmed(yes > no, len(one) - start + spent)
                spent = 0
        return out

    def likelihoods(self, asked: Sequence[AnyAsked], answers: Sequence[str]) -> list[tuple[float, int]]:
        """Log p of an answer to each, without its end, and its tokens."""
        from fewfit.engine import likelihood
        from fewfit.engine.beginning import prefix

        out = [(0.0, 0)] * len(asked)
        for past, _, some in self._parted(asked, prefix):
            ids = [self.ids(asked[n]) for n in some]
            tokens = [[self._continued(asked[n], answers[n])] for n in some]
            for n, (own,), (value,) in zip(some, tokens, likelihood.logp(self.model, past, ids, tokens), strict=True):
                out[n] = (value, len(own))
        return out

    # ---- tokens ------------------------------------------------------------------------------------------------------

    @cached_property
    def renderer(self) -> Renderer:
        """Of the chat template; refuses a tokenizer that has none."""
        return Renderer.resolve(self.tokenizer, [], chat="on", max_new_tokens=1)

    def ids(self, asked: AnyAsked) -> tuple[int, ...]:
        if isinstance(asked, AskedInTurns):
            return self._prompt(asked).ids
        return self.encoder.encode((Piece(asked.text, data=True),), special=True).ids

    def _prompt(self, asked: AskedInTurns) -> Prompt:
        return self.renderer.prompt((), Example("asked", asked.messages, ""))

    def _text(self, new: Sequence[int], in_turns: bool, decoding: Decoding) -> tuple[str, bool]:
        """What new tokens say up to where it ends, and whether it does."""
        if in_turns:
            text, ended = self.renderer.answer_text(new)
        else:
            ended = bool(new) and new[-1] in self.end_ids
            text = self.encoder.decode(new[:-1] if ended else new)
        text, stopped = cut(text, decoding)
        return text, stopped or ended

    def _is_over(self, new: Sequence[int], in_turns: bool, decoding: Decoding) -> bool:
        return self._text(new, in_turns, decoding)[1]

    def _answers(self, asked: AnyAsked) -> list[tuple[int, ...]]:
        """Yes and no as they continue the prompt."""
        if isinstance(asked, AskedInTurns):
            return self.renderer.continuations(self._prompt(asked), [answer.capitalize() for answer in ANSWERS])
        return [self._continued(asked, f" {answer}") for answer in ANSWERS]

    def _continued(self, asked: AnyAsked, answer: str) -> Ids:
        """An answer's tokens as they continue the prompt, without what ends it."""
        if isinstance(asked, AskedInTurns):
            (tokens,) = self.renderer.continuations(self._prompt(asked), [answer])
            return tokens[:-1] if tokens[-1] in self.renderer.end_ids else tokens
        return self.ids(Asked(asked.text, answer))[len(self.ids(asked)) :]

    # ---- passes ------------------------------------------------------------------------------------------------------

    def _parted(self, asked: Sequence[AnyAsked], keep: Keep) -> Iterator[tuple[Any, int, list[int]]]:
        """Prompts that share a beginning, with what is kept of it and the tokens that computing it took."""
        by_beginning: dict[tuple[bool, Before], list[int]] = {}
        for n, one in enumerate(asked):
            by_beginning.setdefault((isinstance(one, AskedInTurns), one.before), []).append(n)
        for (_, before), some in by_beginning.items():
            kept, spent = self._beginning(before, keep)
            serves = [kept is not None and kept.begins(self.ids(asked[n])) for n in some]
            there = [n for n, one in zip(some, serves, strict=True) if one]
            rest = [n for n, one in zip(some, serves, strict=True) if not one]
            yield from ((what, cost, part) for what, cost, part in ((kept, spent, there), (None, 0, rest)) if part)

    def _beginning(self, before: Before, keep: Keep) -> tuple[Any, int]:
        from fewfit.engine.prefix import WORTH_KEEPING

        if self._kept[:2] == (before, keep):
            return self._kept[2], 0
        one, other = (self.ids(behind(before, text)) for text in ("A", " 7"))
        shared = next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
        kept = keep(self.model, one[:shared] if shared >= WORTH_KEEPING else ())
        self._kept = (before, keep, kept)
        return kept, 0 if kept is None else len(kept.ids)


def behind(before: Before, text: str) -> AnyAsked:
    return Asked(before, text) if isinstance(before, str) else AskedInTurns(before, (Message("user", text),))


def chunks(lengths: dict[int, int]) -> Iterator[tuple[int, list[int]]]:
    """Rows that are padded to one length, at the most BATCH, with that length."""
    by_length: dict[int, list[int]] = {}
    for n, length in lengths.items():
        by_length.setdefault(padded(length), []).append(n)
    for most, rows in by_length.items():
        yield from ((most, rows[k : k + BATCH]) for k in range(0, len(rows), BATCH))


def padded(length: int) -> int:
    """Few lengths, so that batches are full: what is padded costs less than a batch of copies."""
    return next((most for most in LENGTHS if length <= most), -(-length // LENGTHS[-1]) * LENGTHS[-1])
