"""What rendering gives: a prompt, and a whole sequence with the spans of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Loss = Literal["every-answer", "last-answer"]
Span = tuple[int, int]


@dataclass(frozen=True)
class Piece:
    """A stretch of text, and whether the template wrote it or the data: special tokens come from the template alone."""

    text: str
    data: bool = False


@dataclass(frozen=True)
class Layout:
    """A prompt as text, and what its answer will stand between."""

    pieces: tuple[Piece, ...]
    # characters [start, end) of the demonstrations' answers, each with the white space before it and its end mark
    answers: tuple[Span, ...]
    # white space between prompt and answer, on the answer's side: no prompt ends in a space
    lead: str
    end: str
    # what would follow the end mark: it is tokenised along and cut off, so that ends are the same tokens everywhere
    after: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True)
class Prompt:
    """What is served: `ids` are the tokenizer's own for `text`."""

    ids: tuple[int, ...]
    text: str
    demos: tuple[str, ...]
    target: str
    spans: tuple[Span, ...]
    layout: Layout
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rendered:
    """A prompt with its answer: what is scored and trained on."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    demos: tuple[str, ...]
    prompt_tokens: int
    text: str
    warnings: tuple[str, ...] = ()


def loss_mask(rendered: Rendered, loss: Loss = "every-answer") -> list[int]:
    """1 for each token that carries loss: answers and their ends, nothing else."""
    mask = [0] * len(rendered.ids)
    for start, end in rendered.spans if loss == "every-answer" else rendered.spans[-1:]:
        mask[start:end] = [1] * (end - start)
    return mask


def shared_prefix(prompts: Sequence[Prompt]) -> int:
    """How many leading ids all the prompts have in common: what keys and values can be computed once for."""
    if not prompts:
        return 0
    first, last = min(p.ids for p in prompts), max(p.ids for p in prompts)
    # whatever the smallest and the largest share, all between them share too
    for n, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return n
    return min(len(first), len(last))
