"""Answers compared as they are, and by words or characters in common."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from fewfit.metrics.patterns import answer_in, folded


def match(prediction: str, answer: str, patterns: Sequence[re.Pattern[str]] = ()) -> float:
    return float(answer_in(prediction, patterns) == answer_in(answer, patterns))


def exact(prediction: str, answer: str) -> float:
    """On text; the engine takes the teacher-forced hit itself. Edges are trimmed, as chat templates trim them."""
    return float(prediction.strip() == answer.strip())


def contains(prediction: str, answer: str) -> float:
    """The answer stands in the prediction, as whole words: "no" is not in "I know"."""
    wanted = folded(answer)
    before = r"(?<!\w)" if wanted[:1].isalnum() else ""
    after = r"(?!\w)" if wanted[-1:].isalnum() else ""
    return float(re.search(before + re.escape(wanted) + after, folded(prediction)) is not None)


ARTICLES = re.compile(r"\b(a|an|the)\b")


def token_f1(prediction: str, answer: str) -> float:
    """SQuAD's F1: lower case, no punctuation, no English articles, words by white space."""
    got, wanted = squad_words(prediction), squad_words(answer)
    if not got or not wanted:  # nothing but punctuation or articles: then those are what counts
        return float(folded(prediction) == folded(answer))
    return f_score(sum((Counter(got) & Counter(wanted)).values()), len(got), len(wanted))


def squad_words(text: str) -> list[str]:
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return ARTICLES.sub(" ", bare).split()


def rouge_l(prediction: str, answer: str) -> float:
    """F1 of the longest common subsequence of words, lower case, no stemming.

    Words are runs of letters and digits of any script (the usual implementation keeps a-z and 0-9 only).
    """
    got, wanted = re.findall(r"[^\W_]+", prediction.lower()), re.findall(r"[^\W_]+", answer.lower())
    if not got or not wanted:
        return float(folded(prediction) == folded(answer))
    return f_score(common_subsequence(got, wanted), len(got), len(wanted))


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    lengths = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, lengths[j] = lengths[j], diagonal + 1 if x == y else max(lengths[j], lengths[j - 1])
    return lengths[-1]


def f_score(hits: float, got: int, wanted: int) -> float:
    return 2 * hits / (got + wanted)


def chrf(prediction: str, answer: str, *, order: int = 6, beta: float = 2.0) -> float:
    """chrF2 of one sentence (Popović 2015): F of the mean precision and recall of character n-grams, spaces left out.

    Orders longer than either text do not count, as in sacreBLEU.
    """
    got, wanted = "".join(prediction.split()), "".join(answer.split())
    if not wanted:
        return float(not got)
    precisions, recalls = [], []
    for n in range(1, order + 1):
        mine, theirs = ngrams(got, n), ngrams(wanted, n)
        if mine and theirs:
            hits = sum((mine & theirs).values())
            precisions.append(hits / mine.total())
            recalls.append(hits / theirs.total())
    if not any(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return min(1.0, (1 + beta**2) * precision * recall / (beta**2 * precision + recall))


def ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def choice(prediction: str, answer: str) -> float:
    return float(prediction.strip() == answer.strip())
