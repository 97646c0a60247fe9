"""The text that counts: answer patterns, and searches that come to an end."""

from __future__ import annotations

import re
import signal
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fewfit.errors import UserError

PATTERN_SECONDS = 2.0

# arXiv 2512.19879, section 4: tried in turn, the first that matches counts. The stars are the text's own.
PAPER_PATTERNS = (r"Answer: (.+)", r"The answer is (.+)", r"\*\*(.+)\*\*", r"(.+)")
PATTERN_PRESETS: dict[str, tuple[str, ...]] = {"paper": PAPER_PATTERNS}


def folded(text: str) -> str:
    """Trimmed, every run of white space one space; an accent written by itself and its letter are one character, as
    many a tokenizer makes them."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def compiled(answer_patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """Presets expanded, each pattern checked."""
    out = []
    for given in (answer_patterns,) if isinstance(answer_patterns, str) else answer_patterns:
        for pattern in PATTERN_PRESETS.get(given, (given,)):
            out.append(checked(pattern, "answer pattern"))
    return tuple(out)


def checked(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"{what} {shortened(pattern)} is no regular expression: {error}", hint="correct it") from None


@contextmanager
def a_while(pattern: str) -> Iterator[None]:
    """Ends a search that would not: nested repetitions, as in (a+)+$, take a time exponential in the text.

    By an alarm, which Python's matcher heeds and which only the main thread can set (a run scores there); elsewhere,
    and on Windows, the search goes on until it ends.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise UserError(
            f"the pattern {shortened(pattern)} searches a text for more than {PATTERN_SECONDS:g} seconds",
            hint="write it without a repetition inside a repetition",
        )

    before = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, PATTERN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)  # one that somebody else had set goes on, a little late
        signal.signal(signal.SIGALRM, before)


def answer_in(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """What the first pattern that matches picks out (its group 1, or all of the match), else the whole text."""
    text = text.strip()  # not folded yet: `.` ends at a line's end, and the paper's last pattern takes the first line
    for pattern in patterns:
        with a_while(pattern.pattern):
            found = pattern.search(text)
        if found:
            return folded(found.group(1 if pattern.groups else 0) or "")
    return folded(text)


def shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "…")
