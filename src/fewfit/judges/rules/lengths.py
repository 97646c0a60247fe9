"""How long an answer is, in words, sentences and paragraphs, and how these stand to one another."""

from __future__ import annotations

import re
from itertools import pairwise

from fewfit.judges.rules.rule import WHOLE, Rule, compare
from fewfit.judges.rules.sentences import count_sentences, sentences
from fewfit.judges.rules.vocabulary import STOP_WORDS
from fewfit.judges.rules.words import bare, without_punctuation, words

LENGTH = "length"


def number_words(answer: str, num_words: int, relation: str) -> bool:
    return compare(len(words(answer)), relation, num_words)


def number_sentences(answer: str, num_sentences: int, relation: str) -> bool:
    return compare(count_sentences(answer), relation, num_sentences)


def number_paragraphs(answer: str, num_paragraphs: int) -> bool:
    """Parted by ***; nothing before the first or after the last is no paragraph, nothing between two is a fault."""
    found = [one.strip() for one in re.split(r"\s?\*\*\*\s?", answer)]
    return all(found[1:-1]) and sum(map(bool, found)) == num_paragraphs


def nth_paragraph(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """The published checker counts paragraphs with content, and looks for the nth among all."""
    found = [one.strip() for one in answer.split("\n\n")]
    count = sum(map(bool, found))
    if not 1 <= nth_paragraph <= count or not found[nth_paragraph - 1]:
        return False
    first = found[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return count == num_paragraphs and re.split("[.,?!'\"]", first)[0].lower() == first_word.lower()


def word_range(answer: str, min_words: float, max_words: float) -> bool:
    return min_words <= len(words(answer)) <= max_words


def unique_words(answer: str, N: float) -> bool:
    """Marks that stand alone count as one word of nothing, in the published checker too."""
    return len({bare(word) for word in answer.lower().split()}) >= N


def stop_words(answer: str, percentage: float) -> bool:
    found = words(answer)
    return bool(found) and 100 * sum(word.lower() in STOP_WORDS for word in found) / len(found) <= percentage


def overlap(answer: str, reference_text: str, percentage: float) -> bool:
    """Of three letters: the published checker does not part them into words."""
    mine, other = ({text[k : k + 3] for k in range(len(text) - 2)} for text in (answer, reference_text))
    return bool(mine) and abs(100 * len(mine & other) / len(mine) - percentage) <= 2


def endings(answer: str) -> tuple[int, int, int]:
    """Sentences that end with a full stop, a question mark, an exclamation mark."""
    found = sentences(answer)
    stops, questions, cries = (sum(one.endswith(mark) for one in found) for mark in ".?!")
    return stops, questions, cries


def two_to_one(answer: str) -> bool:
    stops, questions, _ = endings(answer)
    return stops == 2 * questions


def balanced(answer: str) -> bool:
    return len(set(endings(answer))) == 1


def three_alike(answer: str) -> bool:
    """Three sentences of equal length. That their words all differ is asked for and not verified, as published."""
    lengths = [len(one) for one in sentences(answer)]
    return len(lengths) == 3 and len(set(lengths)) == 1


def growing(answer: str, small_n: float) -> bool:
    lengths = [len(without_punctuation(one).split()) for one in sentences(answer)]
    return bool(lengths) and all(after == before + small_n for before, after in pairwise(lengths))


RULES = {
    "length_constraints:number_words": Rule(number_words, "Write {relation} {num_words} words.", LENGTH),
    "length_constraints:number_sentences": Rule(
        number_sentences, "Write {relation} {num_sentences} sentences.", "length sentences"
    ),
    "length_constraints:number_paragraphs": Rule(
        number_paragraphs, "Write exactly {num_paragraphs} paragraphs, with a line of *** between them.", "layout"
    ),
    "length_constraints:nth_paragraph_first_word": Rule(
        nth_paragraph,
        "Write exactly {num_paragraphs} paragraphs with an empty line between them, and begin paragraph "
        '{nth_paragraph} with the word "{first_word}".',
        "layout start",
    ),
    "count:word_count_range": Rule(word_range, "Write {min_words} to {max_words} words.", LENGTH),
    "count:unique_word_count": Rule(unique_words, "Use at least {N} different words.", LENGTH),
    "ratio:stop_words": Rule(
        stop_words, "Let no more than {percentage} of 100 words be stop words, such as the, of and is.", WHOLE
    ),
    "ratio:overlap": Rule(
        overlap,
        "Let {percentage} of 100 of your three-letter sequences, give or take 2, be in this text: {reference_text}",
        WHOLE,
    ),
    "ratio:sentence_type": Rule(two_to_one, "Write twice as many statements as questions.", "sentences"),
    "ratio:sentence_balance": Rule(
        balanced, "Write as many questions as statements, and as many exclamations.", "sentences"
    ),
    "ratio:sentence_words": Rule(
        three_alike, "Write three sentences of the same number of characters, with no word twice.", "length sentences"
    ),
    "sentence:increment": Rule(
        growing, "Make each sentence exactly {small_n} words longer than the one before.", "length sentences"
    ),
}
