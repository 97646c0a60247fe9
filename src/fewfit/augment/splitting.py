"""Documents to sentences (arXiv 2505.00661, appendix B): each an example by itself, or behind those before it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fewfit.examples.example import Example

# After these a full stop ends no sentence; nor does it after one capital letter (J. Smith).
ABBREVIATIONS = frozenset(
    ("mr", "mrs", "ms", "dr", "prof", "st", "vs", "no", "fig", "etc", "e.g", "i.e", "cf", "approx", "jr", "sr", "vol")
)
_END = re.compile(r"[.!?…]+[\"'”’)\]]*\s+(?=(\S))")
_LAST_WORD = re.compile(r"([\w.]+)\.[\"'”’)\]]*\s*$")


def sentences(text: str) -> list[str]:
    """The sentences of a text, white space around them left out; a line break ends one, too."""
    return [one for line in text.splitlines() for one in _of_line(line.strip())]


def _of_line(line: str) -> list[str]:
    plain = line == line.lower()  # where nothing begins with a capital, a small letter begins a sentence as well
    found, start = [], 0
    for match in _END.finditer(line):
        before, follows = line[start : match.end()], match[1]
        if follows.islower() and not plain and "!" not in match[0] and "?" not in match[0]:
            continue
        word = _LAST_WORD.search(before)
        if word is not None and (word[1].lower() in ABBREVIATIONS or (len(word[1]) == 1 and word[1].isupper())):
            continue
        found.append(before.strip())
        start = match.end()
    rest = line[start:].strip()
    return [*found, rest] if rest else found


def independent(documents: Sequence[Example]) -> list[Example]:
    """Each sentence a document of its own: `3.2` is the second of document 3."""
    return [
        Example(f"{one.id}.{k}", "", sentence, group=one.group or one.id)
        for one in documents
        for k, sentence in enumerate(sentences(one.completion), 1)
    ]


def cumulative(documents: Sequence[Example]) -> list[Example]:
    """Each sentence behind all of its document before it, which are its prompt and carry no loss
    (`Renderer.documents` renders both)."""
    out = []
    for one in documents:
        before: list[str] = []
        for k, sentence in enumerate(sentences(one.completion), 1):
            out.append(Example(f"{one.id}.{k}", " ".join(before), sentence, group=one.group or one.id))
            before.append(sentence)
    return out
