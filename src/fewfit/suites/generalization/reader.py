"""What reads sentences: the words it knows, and patterns that several kinds of sentence share.

Part of the checker. No template, word or fact of a generator is known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fewfit.suites.generalization.world import Fact

# A noun, with or without an article.
X = r"(?:the |an? )?(?P<x>[a-z]+)"
Y = r"(?:the |an? )?(?P<y>[a-z]+)"
BE = r"(?:are|is|were|was|seem|seems|turn out to be|turns out to be|prove to be|proves to be)"

NEGATED = re.compile(r"(?<!or )\bnot\b|n't\b|\bnever\b|\bneither\b|\bcannot\b", re.I)
SPEAKER = re.compile(r"^(?:[A-Z]\w*:|[-•*]|\d+[.)])\s+")


def split_sentences(text: str) -> list[str]:
    lines = [SPEAKER.sub("", line.strip()) for line in text.splitlines()]
    return [part.strip() for line in lines for part in re.split(r"(?<=[.?!])\s+", line) if part.strip()]


@dataclass
class Reader:
    """Reads the sentences of one world. What it must know of words (which are verbs, who has what name) it learns from
    the documents' text first."""

    read_sentence: Callable[[Reader, str], list[Fact]]
    nouns: set[str] = field(default_factory=set)
    verbs: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    descriptions: set[str] = field(default_factory=set)
    known_for: dict[str, str] = field(default_factory=dict)  # of each name
    vocabulary: set[str] = field(default_factory=set)
    holders: dict[str, set[str]] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    by_line: bool = False
    last: str = ""

    def read(self, text: str) -> list[tuple[str, list[Fact]]]:
        """Each sentence with its facts."""
        self.last = ""
        return [
            (one, self.read_sentence(self, one))
            for one in (text.splitlines() if self.by_line else split_sentences(text))
        ]

    def facts(self, text: str) -> list[Fact]:
        return [fact for _, facts in self.read(text) for fact in facts]

    def noun(self, word: str) -> str:
        """The noun as the documents have it: singular and plural are one."""
        for one in (word, word + "s", word.removesuffix("s"), word.removesuffix("es")):
            if one in self.nouns:
                return one
        return word
