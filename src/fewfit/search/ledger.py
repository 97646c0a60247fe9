"""Every score that was ever given: a file of a line for each set and block of questions, on the disk before it is used.

So nothing is asked twice: not when a killed search begins again, and not by another strategy over the same questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from fewfit.kept import kept_as_asked
from fewfit.search.pool import Added

Kind = Literal["score", "likelihood"]
Key = tuple[Kind, Added, str, int]  # of one question; the last is the repeat


class Ledger:
    """Where nothing keeps its lines it remembers as long as it lives."""

    def __init__(self, keep: Callable[[Any], None] | None = None) -> None:
        self._keep = keep
        self._known: dict[Key, float] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def __getitem__(self, key: Key) -> float:
        return self._known[key]

    def take(self, line: Mapping[str, Any]) -> None:
        added = tuple(line["added"])
        for question, value in zip(line["questions"], line["values"], strict=True):
            self._known[line["kind"], added, question, line["repeat"]] = value

    def add(self, kind: Kind, added: Added, questions: Sequence[str], repeat: int, values: Sequence[float]) -> None:
        line = {
            "kind": kind,
            "added": list(added),
            "repeat": repeat,
            "questions": list(questions),
            "values": list(values),
        }
        if self._keep is not None:
            self._keep(line)
        self.take(line)


@contextmanager
def opened(path: Path, asked: Mapping[str, Any]) -> Iterator[Ledger]:
    """`asked` is what scores depend on: data, model, judge. A file that was begun with another is refused."""
    with kept_as_asked(path, asked, "is no ledger of fewfit select-demos") as kept:
        ledger = Ledger(kept.add)
        for line in kept.lines[1:]:
            ledger.take(line)
        yield ledger
