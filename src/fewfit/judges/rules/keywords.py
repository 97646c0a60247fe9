"""Words, letters and numbers that an answer must have, or must not, and how often."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fewfit.judges.rules.rule import Rule, compare
from fewfit.judges.rules.sentences import sentences
from fewfit.judges.rules.treebank import tokens
from fewfit.judges.rules.vocabulary import CONJUNCTIONS, NAMES, PRONOUNS
from fewfit.judges.rules.words import bare, without_punctuation


def existence(answer: str, keywords: Sequence[str]) -> bool:
    return all(re.search(re.escape(word), answer, re.IGNORECASE) for word in keywords)


def frequency(answer: str, keyword: str, frequency: int, relation: str) -> bool:
    return compare(len(re.findall(re.escape(keyword.strip()), answer, re.IGNORECASE)), relation, frequency)


def forbidden(answer: str, forbidden_words: Sequence[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in forbidden_words)


def letters(answer: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """The published checker draws another letter at random where this is none of a to z: two of its prompts ask for "#"
    and "!". Here what is asked for is counted."""
    return compare(answer.lower().count(letter.strip().lower()), let_relation, let_frequency)


def multiple(answer: str, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str) -> bool:
    asked = zip((keyword1, keyword2, keyword3, keyword4, keyword5), (1, 2, 3, 5, 7))
    return all(answer.lower().count(word.strip().lower()) == times for word, times in asked)


def in_sentence(answer: str, word: str, N: float) -> bool:
    found = sentences(answer)
    return len(found) >= N and word.lower() in found[int(N) - 1].lower()


def at_place(answer: str, keyword: str, n: float, m: float) -> bool:
    found = sentences(answer)
    if len(found) < n:
        return False
    place = tokens(found[int(n) - 1])
    return len(place) >= m and place[int(m) - 1] == keyword.strip()


def second_and_second_last(answer: str, keyword: str) -> bool:
    """Marks count as words, so a full stop at the end is the last one."""
    found = tokens(answer)
    return len(found) > 1 and found[1] == found[-2] == keyword.strip()


def person_names(answer: str, N: float) -> bool:
    """A name within a word counts: the published checker looks for letters."""
    return sum(name in answer for name in NAMES) >= N


def pronouns(answer: str, N: float) -> bool:
    return sum(word in PRONOUNS for word in without_punctuation(answer.replace("/", " ").lower()).split()) >= N


def conjunctions(answer: str, small_n: float) -> bool:
    """ "And" and "and," count as two, in the published checker too."""
    return len({word for word in answer.split() if bare(word).lower() in CONJUNCTIONS}) >= small_n


def numbers(answer: str, N: float) -> bool:
    """3.14 is one number, and so is 1-2: marks are taken out first."""
    return len(re.findall(r"\d+", without_punctuation(answer))) == N


def punctuation(answer: str) -> bool:
    """All of . , ! ? ; : and an interrobang, which is not counted again as its parts."""
    if not any(mark in answer for mark in ("!?", "?!", "‽")):
        return False
    rest = answer.replace("?!", "", 1) if "?!" in answer else answer.replace("!?", "", 1)
    return all(mark in rest for mark in ".,!?;:")


def no_comma(answer: str) -> bool:
    return "," not in answer


RULES = {
    "keywords:existence": Rule(existence, "Use each of these words: {keywords}.", "keywords"),
    "keywords:frequency": Rule(frequency, 'Write "{keyword}" {relation} {frequency} times.', "frequency"),
    "keywords:forbidden_words": Rule(forbidden, "Do without these words: {forbidden_words}.", "forbidden"),
    "keywords:letter_frequency": Rule(letters, 'Use "{letter}" {let_relation} {let_frequency} times.', "letters"),
    "punctuation:no_comma": Rule(no_comma, "Use no commas.", "commas"),
    "count:keywords_multiple": Rule(
        multiple,
        'Use "{keyword1}" exactly once, "{keyword2}" twice, "{keyword3}" three times, "{keyword4}" five times and '
        '"{keyword5}" seven times.',
        "keywords frequency",
    ),
    "sentence:keyword": Rule(in_sentence, 'Use the word "{word}" in sentence number {N}.', "places sentences"),
    "words:keywords_specific_position": Rule(
        at_place, 'Make "{keyword}" word number {m} of sentence number {n}.', "places sentences case"
    ),
    "words:words_position": Rule(
        second_and_second_last, 'Make "{keyword}" both the second word and the last but one.', "start end case"
    ),
    "count:person_names": Rule(
        person_names, f"Mention at least {{N}} different people out of these: {', '.join(NAMES)}.", "names case length"
    ),
    "count:pronouns": Rule(pronouns, "Use at least {N} pronouns.", "pronouns length"),
    "count:conjunctions": Rule(
        conjunctions, "Use at least {small_n} different ones of and, but, for, nor, or, so, yet.", "conjunctions"
    ),
    "count:numbers": Rule(numbers, "Write exactly {N} numbers, in digits.", "numbers length"),
    "count:punctuation": Rule(
        punctuation, "Use every one of these marks: . , ! ? ; : and ?! as one mark.", "commas punctuation"
    ),
}
