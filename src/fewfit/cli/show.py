"""A rendered sequence to look at: which tokens the model sees, and which of them carry loss.

    fewfit inspect DATA --model M

Nothing else shows a wrong mask as quickly as looking at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewfit.render import Loss, Rendered, loss_mask
from fewfit.render.marked import marked_text
from fewfit.render.rendered import Span

OPEN, CLOSE = "⟦", "⟧"
GREEN, PLAIN = "\x1b[1;30;42m", "\x1b[0m"


def show(rendered: Rendered, tokenizer: Any, *, color: bool, loss: Loss = "every-answer") -> str:
    """The text with the tokens that carry loss marked: in colour on a terminal, between ⟦ and ⟧ elsewhere."""
    mask = loss_mask(rendered, loss)
    lines = [_counts(rendered, mask, loss), *(f"note: {warning}" for warning in rendered.warnings), ""]
    parts = []
    for marked, text in marked_text(rendered, mask, tokenizer):
        parts.append(_marked(text, color) if marked else _visible(text))
    return "\n".join(lines) + "\n" + "".join(parts)


def as_json(rendered: Rendered, spans: Sequence[Span]) -> dict[str, Any]:
    """`spans` are those that carry loss: none of a lane that does not train."""
    loss = [0] * len(rendered.ids)
    for start, end in spans:
        loss[start:end] = [1] * (end - start)
    return {"tokens": list(rendered.ids), "loss": loss, "text": rendered.text}


def _counts(rendered: Rendered, mask: Sequence[int], loss: Loss) -> str:
    shots = len(rendered.demos)
    whose = f" ({', '.join(rendered.demos)})" if shots else ""
    return (
        f"{len(rendered.ids)} tokens: {rendered.prompt_tokens} of prompt with {shots} "
        f"demonstration{'' if shots == 1 else 's'}{whose}, {len(rendered.ids) - rendered.prompt_tokens} of answer; "
        f"{sum(mask)} carry loss ({loss})"
    )


def _marked(text: str, color: bool) -> str:
    # the line breaks of an end mark are shown as signs, and made behind the mark
    body = text.rstrip("\n")
    breaks = len(text) - len(body)
    shown = _visible(body).replace("\n", "⏎\n") + "⏎" * breaks
    return (GREEN + shown + PLAIN if color else OPEN + shown + CLOSE) + "\n" * breaks


def _visible(text: str) -> str:
    """Control characters in data as signs: a terminal must not obey them."""
    return "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\n\t" else "␡" if c == "\x7f" else c for c in text)
