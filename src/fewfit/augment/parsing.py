"""From what a model wrote to rows: one a line, without bullets, copies and what was cut off."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

_BULLET = re.compile(r"^(?:[-*+•–—]|\(?\d{1,3}[.):])(?:\s+|$)")
_SAID = re.compile(r": | => ")  # what a worked example answers stands behind one of them
_TURNED = re.compile(r"[^\w]+")
_NAME = re.compile(r"(?<=[a-z] )[A-Z][a-z]+")  # within a sentence
PARTED = "=>"  # between a question and its answer


class Line(NamedTuple):
    """`prompt` is empty where a statement stands by itself."""

    prompt: str
    completion: str

    @property
    def key(self) -> tuple[str, str]:
        """Equal for what differs in case, white space and punctuation alone."""
        return normal(self.prompt), normal(self.completion)


def normal(text: str) -> str:
    return _TURNED.sub(" ", text.casefold()).strip()


def lines(text: str, *, ended: bool, pairs: bool, dropped: Counter[str]) -> list[Line]:
    """What stands in a generation; `ended` says that it came to its own end, else its last line is cut off.

    Why the others are no rows is counted in `dropped`.
    """
    if not text.strip():
        dropped["empty answer"] += 1
    rows = text.split("\n")
    if not ended and rows:
        if rows[-1].strip():
            dropped["cut off"] += 1
        rows.pop()
    found = []
    for row in rows:
        written = _BULLET.sub("", row.strip()).strip()
        if not any(character.isalnum() for character in written):
            if written:
                dropped["no words"] += 1
            continue
        if not pairs:
            found.append(Line("", written))
            continue
        prompt, arrow, completion = (part.strip() for part in written.partition(PARTED))
        if not arrow or not normal(prompt) or not normal(completion):
            dropped["no answer"] += 1
            continue
        found.append(Line(prompt, completion))
    return found


def sift(
    found: Sequence[Line], *, sources: Collection[Line], shown: str, most: int, dropped: Counter[str]
) -> list[Line]:
    """Without copies of the sources, of the prompt's own worked examples and of one another; at the most `most`.

    Small models mix up what they are shown: a name of the worked examples that no source has is told by its capital.
    """
    copies = {source.key for source in sources}
    examples = {normal(part) for line in shown.splitlines() for part in (line, _BULLET.sub("", line.strip()))}
    examples |= {normal(line[at.end() :]) for line in shown.splitlines() for at in _SAID.finditer(line)}
    names = set(_NAME.findall(shown)) - {word for source in sources for word in re.findall(r"\w+", " ".join(source))}
    kept: dict[tuple[str, str], Line] = {}
    for line in found:
        if line.key in copies:
            dropped["copy"] += 1
        elif normal(f"{line.prompt} {line.completion}") in examples:
            dropped["copy of the prompt"] += 1
        elif names & set(_NAME.findall(f" {line.prompt} {line.completion}")):
            dropped["a name of the prompt's"] += 1
        elif line.key in kept:
            dropped["duplicate"] += 1
        elif len(kept) == most:
            dropped["beyond --per"] += 1
        else:
            kept[line.key] = line
    return list(kept.values())
