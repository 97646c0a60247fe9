"""Rules that every word of an answer keeps, or the words of every sentence."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from fewfit.judges.rules.rule import WHOLE, Rule
from fewfit.judges.rules.sentences import sentences
from fewfit.judges.rules.words import CONSONANTS, PUNCTUATION, VOWELS, bare, syllables, without_punctuation

_PRIMES = frozenset(n for n in range(2, 100) if all(n % k for k in range(2, n)))


def alphabet(answer: str) -> bool:
    found = without_punctuation(answer).lower().split()
    if not found or not "a" <= found[0][0] <= "z":
        return False
    first = ord(found[0][0]) - ord("a")
    return all(word[0] == chr(ord("a") + (first + k) % 26) for k, word in enumerate(found))


def three_vowels(answer: str) -> bool:
    """Three in all the answer, which is one line."""
    return "\n" not in answer.strip() and len(VOWELS & set(answer.lower())) <= 3


def consonant_clusters(answer: str) -> bool:
    return all(any({a, b} <= CONSONANTS for a, b in pairwise(word)) for word in answer.lower().split())


def palindromes(answer: str) -> bool:
    found = without_punctuation(answer).lower().split()
    return sum(len(word) >= 5 and word == word[::-1] for word in found) >= 10


def prime_lengths(answer: str) -> bool:
    return all(len(word) in _PRIMES for word in without_punctuation(answer).split())


def repeated_at_most(answer: str, small_n: float) -> bool:
    counts = Counter(without_punctuation(answer.lower()).split())
    return max(counts.values(), default=0) <= small_n


def no_neighbours_alike(answer: str) -> bool:
    return all(a[0] != b[0] for a, b in pairwise(without_punctuation(answer.lower()).split()))


def odd_and_even(answer: str) -> bool:
    parities = [syllables(word) % 2 for word in without_punctuation(answer).lower().split()]
    return all(a != b for a, b in pairwise(parities))


def last_is_next_first(answer: str) -> bool:
    for one, after in pairwise(sentences(answer)):
        mine, other = one.rstrip(PUNCTUATION + " ").split(), after.lstrip(PUNCTUATION + " ").split()
        if not mine or not other or mine[-1].lower() != other[0].lower():
            return False
    return True


def paragraph_ends_as_it_begins(answer: str) -> bool:
    found = [bare(line.strip().lower()).split() for line in answer.split("\n")]
    return all(words[0] == words[-1] for words in found if words)


def alliteration(answer: str) -> bool:
    """Runs of words with the same first letter: of a sentence all are added up, as published."""
    before = -1
    for sentence in sentences(answer):
        first = [word[0] for word in (one.lstrip(PUNCTUATION + " ") for one in sentence.lower().split()) if word]
        runs = re.findall("1+", "".join("01"[a == b] for a, b in pairwise(first)))
        length = sum(len(run) + 1 for run in runs)
        if length <= before:
            return False
        before = length
    return True


def japanese(answer: str, N: float) -> bool:
    """Numbers are excused."""
    chosen = [bare(word) for word in answer.split()[int(N) - 1 :: int(N)]]
    return all(re.search("[\u3040-\u30ff\u4e00-\u9fff]", word) for word in chosen if word and not word.isdigit())


RULES = {
    "words:alphabet": Rule(
        alphabet,
        "Begin each word with the letter that follows the first letter of the word before, with a after z.",
        WHOLE,
    ),
    "words:vowel": Rule(
        three_vowels, "Write one paragraph with no more than three of the vowels a, e, i, o, u.", WHOLE
    ),
    "words:consonants": Rule(consonant_clusters, "Use only words with two consonants in a row.", WHOLE),
    "words:palindrome": Rule(
        palindromes, "Use at least 10 words of five letters or more that read the same backwards.", "palindromes"
    ),
    "words:prime_lengths": Rule(prime_lengths, "Use only words whose number of letters is prime.", WHOLE),
    "words:repeats": Rule(repeated_at_most, "Use no word more than {small_n} times.", WHOLE),
    "words:no_consecutive": Rule(
        no_neighbours_alike, "Let no two words in a row begin with the same letter.", "neighbours end"
    ),
    "words:odd_even_syllables": Rule(
        odd_and_even, "Let words with an odd and with an even number of syllables take turns.", WHOLE
    ),
    "words:last_first": Rule(
        last_is_next_first, "Begin each sentence with the last word of the sentence before.", "sentences"
    ),
    "words:paragraph_last_first": Rule(
        paragraph_ends_as_it_begins, "End each paragraph, which is one line, with the word that it begins with.", WHOLE
    ),
    "sentence:alliteration_increment": Rule(
        alliteration, "Let each sentence have more words in a row with one first letter than the one before.", WHOLE
    ),
    "count:words_japanese": Rule(japanese, "Write every {N}th word in Japanese.", WHOLE),
}
