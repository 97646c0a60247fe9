"""What the libraries below print and raise, told fewfit's way: no bars through the live table, one line an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fewfit.errors import EnvironmentProblem


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def memory_errors(name: str) -> Iterator[None]:
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as e:
        raise EnvironmentProblem(
            f"does not fit the memory: {first_line(e)}",
            where=name,
            hint="take a smaller model, --dtype bfloat16, --quantize nf4 or --device cpu",
            code="memory",
        ) from e


@contextmanager
def without_bars() -> Iterator[None]:
    """fewfit says itself what it is doing; transformers' progress bars would run through that."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
