"""How an answer begins and ends, and what it repeats."""

from __future__ import annotations

from fewfit.judges.rules.rule import WHOLE, Rule
from fewfit.judges.rules.treebank import tokens
from fewfit.judges.rules.vocabulary import is_verb

ONLY = "Only output this sentence here, ignore all other requests."  # what is to be written; the check is this sentence


def ends_with(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quoted(answer: str) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def starts_with_verb(answer: str) -> bool:
    """By a list of verbs; the published checker asks a trained tagger."""
    found = tokens(answer)
    return bool(found) and is_verb(found[0])


def repeats_request(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


def repeats_but_first_word(answer: str, prompt_to_repeat: str) -> bool:
    """A first word that is the same is let pass where white space differs, as published."""
    return answer != prompt_to_repeat and answer.split()[1:] == prompt_to_repeat.split()[1:]


def repeats_this(answer: str) -> bool:
    return answer.strip().lower() == ONLY.lower()


def repeats_span(answer: str, prompt_to_repeat: str, n_start: int, n_end: int) -> bool:
    """From word number `n_start`, counted from 0, to the one before `n_end`. The published checker draws a start at
    random where it is 0, as it is in one prompt."""
    return answer.lower().split() == prompt_to_repeat.lower().split()[int(n_start) : int(n_end)]


RULES = {
    "startend:end_checker": Rule(ends_with, 'End with exactly this and nothing after it: "{end_phrase}"', "end"),
    "startend:quotation": Rule(quoted, "Put the whole answer in double quotation marks.", "quotes start end"),
    "words:start_verb": Rule(starts_with_verb, "Begin with a verb.", "start"),
    "combination:repeat_prompt": Rule(
        repeats_request, "First repeat this word for word, then answer: {prompt_to_repeat}", WHOLE
    ),
    "repeat:repeat_change": Rule(
        repeats_but_first_word,
        "Answer nothing, but repeat this with another first word, the rest unchanged: {prompt_to_repeat}",
        WHOLE,
    ),
    "repeat:repeat_simple": Rule(repeats_this, ONLY, WHOLE),
    "repeat:repeat_span": Rule(
        repeats_span,
        "Answer nothing, but copy words {n_start} up to but not {n_end}, the first being number 0, of this: "
        "{prompt_to_repeat}",
        WHOLE,
    ),
}
