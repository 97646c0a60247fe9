"""Where sentences end, in two ways, since the published checkers have two.

`sentences` is the chain of replacements that IFBench splits by: every full stop, question and exclamation mark ends a
sentence, but for full stops in names, numbers and abbreviations. `count_sentences` is what IFEval counts by, Punkt
(Kiss and Strunk 2006): the algorithm is followed, and a short list of abbreviations stands in for its statistics.
"""

from __future__ import annotations

import re

from fewfit.judges.rules.vocabulary import ABBREVIATIONS, STOP_WORDS

_KEPT, _END = "\ue000", "\ue001"  # a full stop that ends nothing, and the end of a sentence
_LETTER = "([A-Za-z])"
_OPENERS = (
    r"(Mr|Mrs|Ms|Dr|Prof|Capt|Cpt|Lt|He\s|She\s|It\s|They\s|Their\s|Our\s|We\s|But\s|However\s|That\s|This\s|Wherever)"
)
_FIRMS = "(Inc|Ltd|Jr|Sr|Co)"
# In this order: later rows see what earlier ones have kept.
_ROWS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), into)
    for pattern, into in (
        ("(Mr|St|Mrs|Ms|Dr)[.]", rf"\1{_KEPT}"),
        ("[.](com|net|org|io|gov|edu|me)", rf"{_KEPT}\1"),
        ("([0-9])[.]([0-9])", rf"\1{_KEPT}\2"),
        (r"\.\.+", ""),  # see `_dots`
        (r"Ph\.D\.", f"Ph{_KEPT}D{_KEPT}"),
        (rf"\s{_LETTER}[.] ", rf" \1{_KEPT} "),
        (rf"([A-Z][.][A-Z][.](?:[A-Z][.])?) {_OPENERS}", rf"\1{_END} \2"),
        (rf"{_LETTER}[.]{_LETTER}[.]{_LETTER}[.]", rf"\1{_KEPT}\2{_KEPT}\3{_KEPT}"),
        (rf"{_LETTER}[.]{_LETTER}[.]", rf"\1{_KEPT}\2{_KEPT}"),
        (rf" {_FIRMS}[.] {_OPENERS}", rf" \1{_END} \2"),
        (rf" {_FIRMS}[.]", rf" \1{_KEPT}"),
        (rf" {_LETTER}[.]", rf" \1{_KEPT}"),
    )
)
# A closing quotation mark belongs to the sentence: its mark goes behind it.
_SWAPS = ((".”", "”."), ('."', '".'), ('!"', '"!'), ('?"', '"?'))


def sentences(text: str) -> list[str]:
    text = f" {text}  ".replace("\n", " ")
    for pattern, into in _ROWS:
        text = pattern.sub(into or _dots, text)
    for old, new in _SWAPS:
        text = text.replace(old, new)
    text = re.sub("[.?!]", rf"\g<0>{_END}", text).replace(_KEPT, ".")
    found = [one.strip() for one in text.split(_END)]
    return found[:-1] if not found[-1] else found


def _dots(found: re.Match[str]) -> str:
    return _KEPT * len(found.group()) + _END


# ---- as Punkt has it -------------------------------------------------------------------------------------------------

_AFTER = ")\";}]*:@'({[!?‘’“”«»"  # what may follow a mark directly, where it may still end a sentence
_CUT = re.compile(r"""[)";}\]*:@'({\[!?‘’“”«»]|-{2,}""")  # what parts words within a run of letters
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*$")
_CLOSING = re.compile(r"""["')\]}]+?(?:\s+|(?=--)|$)""")


def parts(text: str) -> list[str]:
    """Sentences by Punkt. Closing quotation marks and brackets stay with the sentence before them."""
    text = text.rstrip()
    runs = list(re.finditer(r"\S+", text))
    starts = [0]
    for k, run in enumerate(runs):
        at = _last_mark(run.group(), k + 1 < len(runs))
        if at is None:
            continue
        head, tail = run.group()[: at + 1], run.group()[at + 1 :]
        if _ends(head, tail[0] if tail else _first_word(runs[k + 1].group())):
            starts.append(run.start() + at + 1 if tail else runs[k + 1].start())
    for k, start in enumerate(starts[1:], 1):
        if closing := _CLOSING.match(text, start, starts[k + 1] if k + 1 < len(starts) else len(text)):
            starts[k] = closing.end()
    return [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)]) if start < end]


def count_sentences(text: str) -> int:
    return len(parts(text))


def _last_mark(run: str, more: bool) -> int | None:
    """The last place in a run of characters where a sentence may end."""
    for at in range(len(run) - 1, -1, -1):
        if run[at] in ".?!" and (run[at + 1] in _AFTER if at + 1 < len(run) else more):
            return at
    return None


def _first_word(run: str) -> str:
    """The first word of a run, or the mark that stands before it."""
    found = _CUT.search(run)
    return run if found is None else run[: found.start()] or run[0]


def _ends(head: str, follower: str) -> bool:
    """Does a sentence end with `head`, when `follower` comes next?"""
    if head[-1] in "?!" or any(mark in head[:-1] for mark in "?!"):
        return True
    parts = _CUT.split(head)
    if any(part.endswith(".") and len(part) > 1 and not part.endswith("..") for part in parts[:-1]):
        return True
    word, lower = parts[-1].lstrip("-,#&`"), follower[:1].islower()
    upper, common = follower[:1].isupper(), follower.lower().rstrip(",.;:") in STOP_WORDS
    if word.endswith(".."):
        return upper
    stem = word[:-1].lower()
    if stem in ABBREVIATIONS or stem.rpartition("-")[2] in ABBREVIATIONS:
        return len(stem) > 1 and upper and common
    if _NUMBER.match(stem):
        return not lower and follower not in tuple(";:,.!?")
    if len(stem) == 1 and stem.isalpha():
        return not lower and follower not in tuple(";:,.!?") and (common or not upper)
    return True
