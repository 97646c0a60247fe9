"""Lanes and prediction rows made up, for what chooses among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fewfit.select import Selection, select


@dataclass(frozen=True)
class FakeLane:
    name: str
    kind: str
    shots: int = 0
    updates: int = 0
    lr: float = 0.0
    model: str | None = None
    is_fixed: bool = False
    members: int = 1

    @property
    def shots_at_use(self) -> int:
        return self.shots


ZERO = FakeLane("zero-shot", "zero-shot")
ICL4, ICL8 = FakeLane("icl-4", "icl", 4), FakeLane("icl-8", "icl", 8)
FT1, FT5 = FakeLane("ft-u1", "ft", 0, 1, 1e-3), FakeLane("ft-u5", "ft", 0, 5, 1e-3)
BOTH = FakeLane("icl4+ft", "icl+ft", 4, 1, 1e-3)
EVERY = (ZERO, ICL4, ICL8, FT1, FT5, BOTH)


def predictions(scores: dict[FakeLane, Any], *, seed: int = 0, nll: bool = True, **more: Any) -> list[dict[str, Any]]:
    """One row a lane and example; example i stands at place i; answers take turns between a and b."""
    return [
        {
            "lane": lane.name,
            "model": None,
            "seed": seed,
            "i": i,
            "id": f"e{i}",
            "shots": lane.shots,
            "demos": [],
            "nll": (0.2 if score >= 1 else 1.5) if nll else None,
            "tokens": 1,
            "prompt_tokens": 9,
            "score": float(score),
            "correct": bool(score >= 1),
            "gold": "ab"[i % 2],
            "prediction": "a",
            "cut": False,
            "probs": None,
            "margin": 0.5,
            **more,
        }
        for lane, values in scores.items()
        for i, score in enumerate(values, start=1)
    ]


def hits(n: int, every: float, shift: int = 0) -> list[float]:
    """`every` of the rows are hits, spread evenly."""
    return [float(int((i + shift + 1) * every) > int((i + shift) * every)) for i in range(n)]


def chosen(scores: dict[FakeLane, Any], **more: Any) -> Selection:
    return select(predictions(scores), tuple(scores), metric="exact", **more)
