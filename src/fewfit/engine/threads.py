"""How many threads torch may use: one where that is faster or must be, as many as there are elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SMALL = 30_000_000  # parameters: below it the threads of a product wait for each other longer than they work


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_small(model: Any) -> bool:
    return sum(p.numel() for p in model.parameters()) < SMALL


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """A lane is bit-equal to itself on one thread, and one thread a process is the fastest use of several cores."""
    import torch

    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
