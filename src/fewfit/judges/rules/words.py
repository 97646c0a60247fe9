"""Words and what they are made of."""

from __future__ import annotations

import re
import string

PUNCTUATION = string.punctuation
_STRIPPED = str.maketrans("", "", PUNCTUATION)
VOWELS, CONSONANTS = frozenset("aeiou"), frozenset("bcdfghjklmnpqrstvwxyz")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def without_punctuation(text: str) -> str:
    return text.translate(_STRIPPED)


def bare(word: str) -> str:
    return word.strip(PUNCTUATION + " ")


def syllables(word: str) -> int:
    """Groups of vowels, but for a silent e at the end; numbers have none. The published checker looks 6,392 words up
    first and does this for the others."""
    if not word or any(letter.isdigit() for letter in word):
        return 0
    count = len(re.findall("[aeiouy]+", word)) - word.endswith("e")
    return max(1, count + (word.endswith("le") and len(word) > 2 and word[-3] not in "aeiouy"))
