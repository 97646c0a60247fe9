"""Words and marks as Penn Treebank parts them, which some of the published checkers count by."""

from __future__ import annotations

import re

from fewfit.judges.rules.sentences import parts

# Penn Treebank's way of parting words from marks, by rows of pattern and replacement. Quotation marks become `` and ''.
_TREEBANK: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), into)
    for pattern, into in (
        ("([«“‘„]|`+)", r" \1 "),
        ('^"', "``"),
        ("``", r" \g<0> "),
        (r"""([ (\[{<])("|'{2})""", r"\1 `` "),
        (r"(?i)(?<!\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", r"\1 "),
        (r"""([^.])(\.)([\])}>"'»”’ ]*+)\s*$""", r"\1 \2 \3 "),
        (r"([:,])([^\d])", r" \1 \2"),
        ("([:,])$", r" \1 "),
        (r"\.{2,}", r" \g<0> "),
        ("[;@#$%&‒-―?!*]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[\]\[(){}<>]|--", r" \g<0> "),
        ("[»”’]", r" \g<0> "),
        ("''|\"", " '' "),
        (r"\s+", " "),
        ("([^' ])('[sSmMdD]|') ", r"\1 \2 "),
        ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
        (r"(?i)\b(can)(not)\b|\b(gim|lem)(me)\b|\b(gon)(na)\b|\b(got)(ta)\b|\b(wan)(na)(?=\s)", ""),
    )
)


def _tokens(sentence: str) -> list[str]:
    """Of one sentence: only the full stop at its end is a token of its own."""
    for k, (pattern, into) in enumerate(_TREEBANK):
        sentence = f" {sentence} " if k == 13 else sentence
        sentence = pattern.sub(into or _parted, sentence)
    return sentence.split()


def _parted(found: re.Match[str]) -> str:
    return " " + " ".join(part for part in found.groups() if part) + " "


def tokens(text: str) -> list[str]:
    return [token for sentence in parts(text) for token in _tokens(sentence)]
