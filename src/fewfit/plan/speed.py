"""What this machine does in a second: a few matrix products of the model's own shape.

On a CPU what one thread does, in its own time: `fit` runs a process of one thread on every core, and how busy the
machine is just now says little of the run to come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fewfit.engine.threads import one_thread

SECONDS = 0.02  # for each figure but the first, which matters most
ROUND = 0.002  # shorter than the turns that a busy machine gives to others


@dataclass(frozen=True)
class Speed:
    operations: float  # a second, in products as wide as the model and as long as a prompt
    single: float  # the same for one token at a time, as answers are written
    elements: float  # touched a second, between products
    call: float  # seconds that the smallest operation takes: what small models are slow by
    memory: int | None  # bytes that the device has


def measure(device: str, dtype: Any, width: int, tokens: int) -> Speed:
    with one_thread(device == "cpu"):
        return measured(device, dtype, width, tokens)


def measured(device: str, dtype: Any, width: int, tokens: int) -> Speed:
    import torch

    def product(rows: int, seconds: float = SECONDS) -> float:
        left = torch.randn(max(1, rows), width, device=device).to(dtype)
        right = torch.randn(width, 4 * width, device=device).to(dtype)
        return 8.0 * max(1, rows) * width * width / each(lambda: left @ right, device, seconds)

    small = torch.randn(1, 64, device=device).to(dtype)
    tall = torch.randn(max(1, tokens), width, device=device).to(dtype)
    return Speed(
        operations=product(tokens, 3 * SECONDS),
        single=product(1),
        elements=tall.numel() / each(lambda: torch.add(tall, tall), device),
        call=each(lambda: torch.add(small, small), device),
        memory=memory_of(device),
    )


def each(call: Callable[[], Any], device: str, seconds: float = SECONDS) -> float:
    """Seconds of one call, the best of many short rounds: other work on the machine slows a round, never speeds it."""
    wait(device, call())
    clock = time.process_time if device == "cpu" else time.perf_counter
    best, count, end = float("inf"), 1, clock() + seconds
    while clock() < end:
        start = clock()
        for _ in range(count):
            got = call()
        wait(device, got)
        spent = clock() - start
        best = min(best, spent / count)
        if spent < ROUND:
            count *= 2
    return max(best, 1e-9)


def wait(device: str, tensor: Any) -> None:
    if device != "cpu":
        tensor.flatten()[0].item()  # accelerators return before they are done


def memory_of(device: str) -> int | None:
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[1])
    if device == "cpu" and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
