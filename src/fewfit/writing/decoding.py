"""How a text is written, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass

from fewfit.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """Which of the likely tokens is taken: by default the likeliest."""

    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Decoding:
    """`lines`: no more than so many are wanted, so writing may end there; None for any number. At temperature 0 the
    likeliest token is taken, with the penalty still applied, and `top_p` and `seed` change nothing."""

    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    lines: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fits, hint in (
            ("max_new_tokens", self.max_new_tokens >= 1, "give 1 or more"),
            ("lines", self.lines is None or self.lines >= 1, "give 1 or more, or none for any number"),
            ("temperature", 0 <= self.temperature <= 10, "give 0 (the likeliest text) to 10"),
            ("top_p", 0 < self.top_p <= 1, "give more than 0 and at most 1 (all tokens)"),
            ("repetition_penalty", 0 < self.repetition_penalty <= 10, "give 1 (none) or a little more, as in 1.15"),
        ):
            if not fits:
                raise UserError(f"{name} {getattr(self, name):g}", hint=hint)

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0


def cut(text: str, decoding: Decoding) -> tuple[str, bool]:
    """Up to the first stop, or to the end of the last line that is wanted; and whether there was one."""
    places = [place for mark in decoding.stop if (place := text.find(mark)) >= 0]
    if decoding.lines is not None:
        rows = text.split("\n")
        if len(rows) > decoding.lines and any(row.strip() for row in rows[: decoding.lines]):
            places.append(len("\n".join(rows[: decoding.lines])))
    return (text[: min(places)], True) if places else (text, False)
