"""Capitals, small letters, and the language that they write."""

from __future__ import annotations

from fewfit.judges.rules.rule import WHOLE, Detect, Rule, compare
from fewfit.judges.rules.treebank import tokens


def in_language(answer: str, language: str, detect: Detect) -> bool:
    """What cannot be told counts as kept, as published."""
    return detect(answer) in (language, None)


def capitals(answer: str, detect: Detect) -> bool:
    return answer.isupper() and detect(answer) in ("en", None)


def small_letters(answer: str, detect: Detect) -> bool:
    return answer.islower() and detect(answer) in ("en", None)


def capital_words(answer: str, capital_frequency: int, capital_relation: str) -> bool:
    """ "I" is one."""
    return compare(sum(token.isupper() for token in tokens(answer)), capital_relation, capital_frequency)


def title_case(answer: str) -> bool:
    """No word of two letters or more begins small; small words such as "of" are not excused, as published."""
    return not any(token[0].islower() and (token[1:].islower() or token[1:].isupper()) for token in tokens(answer))


RULES = {
    "language:response_language": Rule(in_language, "Write in {language} and in no other language.", WHOLE),
    "change_case:english_capital": Rule(capitals, "Write in English, and in capital letters only.", "case language"),
    "change_case:english_lowercase": Rule(
        small_letters, "Write in English, and in small letters only.", "case language"
    ),
    "change_case:capital_word_frequency": Rule(
        capital_words, "Write {capital_relation} {capital_frequency} words all in capital letters.", "case"
    ),
    "format:title_case": Rule(title_case, "Begin every word with a capital letter.", "case"),
}
