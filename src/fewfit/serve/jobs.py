"""What the scheduler does: a text to be written, or a prompt whose answers are to be judged.

Both are a `Text` of engine/joint.py; a job takes its logits and tells what has come of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fewfit.engine.joint import Text
from fewfit.engine.likelihood import whole
from fewfit.engine.score import one_token_apart, read_off
from fewfit.render.encode import Encoder
from fewfit.writing import Decoding, cut
from fewfit.writing.sampling import Adjust, adjustment

LOG = logging.getLogger(__name__)
Ids = tuple[int, ...]
# New tokens to their text as it is answered, whether it has ended, and how many characters stand before it.
Read = Callable[[Sequence[int]], tuple[str, bool, int]]
LEAST = -9999.0  # a log-probability that JSON can hold
HALF = "\N{REPLACEMENT CHARACTER}"  # what a decoder writes for a character whose last bytes have not come


@dataclass(frozen=True)
class Token:
    """One that was written, its log-probability and that of the likeliest ones in its place."""

    text: str
    logp: float
    likeliest: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Said:
    """More of a text; `finish` where it is all: `stop` or `length`."""

    text: str
    tokens: tuple[Token, ...] = ()
    finish: str | None = None
    new_tokens: int = 0


@dataclass(frozen=True)
class Judged:
    """Log p of each answer."""

    logp: tuple[float, ...]


@dataclass(frozen=True)
class Failed:
    error: BaseException


Event = Said | Judged | Failed


class Writes:
    """`marks`: what a text may be cut at, so that its beginning is held back from a client who reads along. `top`: how
    many tokens' log-probabilities are wanted for each place; None for none."""

    def __init__(
        self,
        text: Text,
        tell: Callable[[Event], None],
        *,
        read: Read,
        encoder: Encoder,
        decoding: Decoding,
        key: str,
        marks: Sequence[str],
        top: int | None,
        streamed: bool,
    ):
        self.text, self.tell = text, tell
        self._read, self._encoder, self._decoding, self._streamed = read, encoder, decoding, streamed
        self._marks, self._top = tuple(mark for mark in (*marks, *decoding.stop) if mark), top
        self._adjust: Adjust | None = adjustment(decoding, [key])
        self._tokens: list[tuple[int, Token]] = []  # with the place in the text where each begins
        self._length = self._sent = self._told = 0

    def take(self, logits_NV: Any) -> bool:
        """One more token; whether it was the last."""
        adjusted_NV = logits_NV
        if self._adjust is not None:
            ids_1T = torch.tensor([[*self.text.prompt, *self.text.new]], device=logits_NV.device)
            adjusted_NV = self._adjust([0], len(self.text.new), ids_1T, logits_NV)
        token = int(adjusted_NV[0].argmax())
        self.text.new.append(token)
        if self._top is not None:
            self._note(token, logits_NV[0])
        said, ended, before = self._read(self.text.new)
        said, stopped = cut(said, self._decoding)
        finish = "stop" if ended or stopped else None
        if finish is None and len(self.text.new) >= self._decoding.max_new_tokens:
            finish = "length"
        if finish is not None or self._streamed:
            self._say(said, before, finish)
        return finish is not None

    def _say(self, said: str, before: int, finish: str | None) -> None:
        sure = len(said) if finish is not None else surely(said, self._marks)
        more = said[self._sent : sure]
        tokens = [token for start, token in self._tokens[self._told :] if start < before + sure]
        if more or finish is not None:
            self._sent, self._told = max(self._sent, sure), self._told + len(tokens)
            self.tell(Said(more, tuple(tokens), finish, len(self.text.new)))

    def _note(self, token: int, logits_V: Any) -> None:
        logp_V = torch.log_softmax(logits_V, dim=-1)
        start = self._length
        text = self._encoder.decode(self.text.new)
        self._length = len(text)
        values, ids = logp_V.topk(min(self._top or 0, len(logp_V)))
        likeliest = [(self._encoder.decode([id]), max(logp, LEAST)) for id, logp in zip(ids.tolist(), values.tolist())]
        self._tokens.append((start, Token(text[start:], max(float(logp_V[token]), LEAST), tuple(likeliest))))


def surely(said: str, marks: Sequence[str]) -> int:
    """How much of a text will stand, whatever follows: not white space at its end, which is trimmed, nor half a
    character, nor what may become a mark that it is cut at."""
    said = said.rstrip(HALF)  # a mark may go on with that character
    sure = len(said.rstrip())
    for mark in marks:
        for size in range(min(len(mark) - 1, len(said)), 0, -1):
            if said.endswith(mark[:size]):
                sure = min(sure, len(said) - size)
                break
    return sure


class Judges:
    """Of answers that differ in one token alone it is that token that is judged, as the engine does it."""

    def __init__(self, text: Text, tell: Callable[[Event], None], answers: Sequence[Ids]):
        place = one_token_apart(answers)
        text.tails = tuple(answer[:-1] for answer in answers) if place is None else (answers[0][:place],)
        self.text, self.tell = text, tell
        self._answers, self._place = tuple(answers), place

    def take(self, logits_NV: Any) -> bool:
        if self._place is None:
            logp = whole(logits_NV, self._answers)
        else:
            logp = read_off(logits_NV[-1], self._answers, self._place)
        if any(math.isnan(value) for value in logp):
            LOG.error("the model gives no numbers for a prompt")
            self.tell(Failed(ArithmeticError("the model gives no numbers for it")))
        else:
            self.tell(Judged(logp))
        return True


Job = Writes | Judges
