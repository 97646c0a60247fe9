"""What a chat template may take. It is a program that comes with a model: it gets so much time, and no huge numbers.

Time is kept by a watch beside it, on any thread. One single operation of Python's cannot be interrupted, so what could
make one endless (a power, a text repeated a billion times) is refused before the template runs.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fewfit.errors import UserError

if TYPE_CHECKING:
    from jinja2 import nodes

SECONDS = 5.0  # real templates take milliseconds
LARGEST = 10_000_000  # of the numbers that are written in a template
REPEATS = 10_000
CODE = "chat-template-limit"
HINT = "take another chat template, or --chat off for the plain one"

_GENERATION = re.compile(r"{%-?\s*(end)?generation\s*-?%}")  # a tag of transformers' own; it changes nothing here
_WIDE_FORMAT = re.compile(r"%[-+ #0]*\d{6,}|{[^{}]*:[^{}]*\d{6,}")


class OutOfTime(Exception):
    """Raised inside a template that does not end."""


@contextmanager
def time_limit(seconds: float | None = None) -> Iterator[None]:
    """Raises OutOfTime in this thread, wherever it then is, when the body takes longer."""
    thread = ctypes.c_ulong(threading.get_ident())
    lock, ended, struck = threading.Lock(), False, False

    def strike() -> None:
        nonlocal struck
        with lock:
            if not ended:
                struck = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(OutOfTime))

    timer = threading.Timer(SECONDS if seconds is None else seconds, strike)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            ended = True
        timer.cancel()
        if struck:  # and not raised yet: it must not be raised in what comes next
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)


@lru_cache(maxsize=64)
def refuse_costly(source: str) -> None:
    """Raises UserError on a template that could ask for endless work or memory in one single operation."""
    from jinja2 import nodes

    tree = parsed(source)
    if tree is None:
        return
    for constant in tree.find_all(nodes.Const):
        value = constant.value
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise costly(f"holds a number above {LARGEST:,}", constant.lineno)
        if isinstance(value, str) and _WIDE_FORMAT.search(value):
            raise costly("formats text a million characters wide", constant.lineno)
    for power in tree.find_all(nodes.Pow):
        raise costly("raises a number to a power", power.lineno)
    for product in tree.find_all(nodes.Mul):
        nested = any(True for side in (product.left, product.right) for _ in _products(side))
        if nested or not (_is_small(product.left) or _is_small(product.right)):
            raise costly("multiplies by what may be any number", product.lineno)


def parsed(source: str) -> nodes.Template | None:
    """None where it is none: it is refused, with its line, when it is to run."""
    import jinja2

    try:
        # Not the environment that runs it: what is read here is only looked at.
        return jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_GENERATION.sub("", source))
    except jinja2.TemplateSyntaxError:
        return None


def costly(what: str, line: int) -> UserError:
    return UserError(f"the chat template {what} (its line {line}), and is not run", hint=HINT, code=CODE)


def _products(node: Any) -> Iterator[Any]:
    from jinja2 import nodes

    if isinstance(node, nodes.Mul):
        yield node
    yield from node.find_all(nodes.Mul)


def _is_small(node: Any) -> bool:
    from jinja2 import nodes

    return isinstance(node, nodes.Const) and isinstance(node.value, int | float) and abs(node.value) <= REPEATS
