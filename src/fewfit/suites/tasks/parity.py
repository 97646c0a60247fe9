"""Parity-20, made up: twenty bits, and after each whether the ones so far are odd. All of it has to be right."""

from __future__ import annotations

from fewfit import draw
from fewfit.suites.tasks.task import Asking, Published, numbered

NAME, BITS, ROWS = "parity-20", 20, 1000


def load() -> Published:
    return Published(NAME, numbered(row(n) for n in range(ROWS)), Asking("match"))


def row(n: int) -> tuple[str, str]:
    bits = [draw.number(NAME, n, k) & 1 for k in range(BITS)]
    odd, running = 0, []
    for bit in bits:
        odd ^= bit
        running.append(odd)
    return " ".join(map(str, bits)), " ".join(map(str, running))
