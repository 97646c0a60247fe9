"""The text of a rendered sequence, cut where its mask begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from fewfit.render.rendered import Rendered


def marked_text(rendered: Rendered, mask: Sequence[int], tokenizer: Any) -> list[tuple[bool, str]]:
    """Stretches of text, and whether the mask has them; answers that touch stay apart."""
    return _runs(rendered.ids, _stretches(rendered, mask), tokenizer)


def _stretches(rendered: Rendered, mask: Sequence[int]) -> list[tuple[bool, int, int]]:
    """Stretches of tokens (carry loss, start, end); answers that touch stay apart."""
    starts = {start for start, _ in rendered.spans}
    turn = 0
    labels = []
    for n, carries in enumerate(mask):
        turn += n in starts
        labels.append((bool(carries), turn if carries else -1))
    stretches = []
    at = 0
    for (carries, _), group in groupby(labels):
        length = sum(1 for _ in group)
        stretches.append((carries, at, at + length))
        at += length
    return stretches


def _runs(ids: Sequence[int], stretches: Sequence[tuple[bool, int, int]], tokenizer: Any) -> list[tuple[bool, str]]:
    def decoded(start: int, end: int) -> str:
        return str(
            tokenizer.decode(list(ids[start:end]), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    runs = []
    before = ""
    for marked, start, end in stretches:
        # SentencePiece drops the space of a first token, so a stretch is read as what it adds to all before it
        upto = decoded(0, end)
        runs.append((marked, upto[len(before) :] if upto.startswith(before) else decoded(start, end)))
        before = upto
    return runs
