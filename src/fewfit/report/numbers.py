"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def points(value: float | None) -> str:
    """Of 100."""
    return "" if value is None else f"{100 * value:.1f}"


def span(interval: Sequence[float]) -> str:
    return f"{points(interval[0])} to {points(interval[1])}"


def signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def time_left(seconds: float | None) -> str:
    return "time left not known yet" if seconds is None else f"about {clock(seconds)} left"


def clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 48 * 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole / 86400:.1f}d"
