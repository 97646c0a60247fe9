"""A published prompt without the sentences that state its constraints, where these can be told from the request.

A sentence is a constraint where it begins as one does ("Your response", "Include", "Do not") and has a word of what a
check of the prompt is about. The cut is made only where every check is stated by a sentence so found, something is
left, and what is left speaks of no check: else the constraint stands in the request itself, or it cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fewfit.judges.question import Check

_OPENERS = re.compile(
    r"""["'(]*(?:(?:and|also|finally|additionally|please|but|then|lastly|
       you\ (?:must|should|can't|cannot|are\ not)),?\ )*
    (?:(?:in|for|throughout|at\ the\ end\ of)\ (?:your|the)(?:\ \w+){0,2}\ (?:response|answer|reply|output|letter|
       email|essay|poem|story)
    |(?:your|the)\ (?:\w+\ ){0,2}(?:response|answer|reply|output|paragraphs?|words?|letters?|keywords?|sentences?|
       sections?|poem|story|essay|email|letter|post|blog|pitch|song|riddle|article|ad|advertisement|resume|itinerary|proposal)
    |there\ should|respond|answer|use|include|add|do\ not|don't|make\ sure|ensure|be\ sure|avoid|refrain|no\ |not\ |
    wrap|put|highlight|italicize|finish|end|start|begin|mark|separate|mention|contain|each|every|all\ |at\ least|
    at\ the\ end|first|before|repeat|let's\ repeat|without|it\ (?:should|must|needs|has\ to)|they\ should|words\ |
    maintain|nest|create\ stairs|alternate|copy|only\ output|give\ (?:exactly\ )?two\ different|
    write\ (?:each\ word|the\ entire|a\ paragraph\ using)|try\ to|keep|have\ |limit|that's|note|choose|say)""",
    re.IGNORECASE | re.VERBOSE,
)
# By check, or by family: words that a sentence about it has.
_ABOUT = {
    "keywords:letter_frequency": r"\bletters?\b|exclamation|hashtag",
    "keywords": r"\bkey ?words?\b|\bwords?\b|\bphrases?\b|mention|['\"]\w+['\"]|\bname\b|\bterm",
    "punctuation": r"\bcommas?\b|\bpunctuation\b",
    "length_constraints:number_sentences": r"\bsentences?\b",
    "length_constraints:number_words": r"\bwords?\b",
    "length_constraints": r"\bparagraphs?\b|\*\*\*",
    "detectable_content:number_placeholders": r"placeholder|bracket",
    "detectable_content:postscript": r"post ?script|P\.S|P\.P\.S",
    "detectable_format:number_bullet_lists": r"bullet",
    "detectable_format:number_highlighted_sections": r"highlight|italic|emphasi|bold",
    "detectable_format:multiple_sections": r"sections?\b|\bPARAGRAPH X|\bDay X|Audience",
    "detectable_format:json_format": r"json",
    "detectable_format:title": r"\btitle\b|<<|angular",
    "detectable_format:constrained_response": r"my answer is|following|phrase",
    "language": r"language|\b(?:in|into|using) [A-Z]\w+",
    "change_case": r"capital|lower ?case|upper ?case|\bcaps\b",
    "startend:quotation": r"quot",
    "startend:end_checker": r"\bend|finish|last|phrase|follow",
    "combination:repeat_prompt": r"repeat|request",
    "combination:two_responses": r"\btwo\b|asterisk|\*{6}|different",
    "ratio:overlap": r"overlap",
    "ratio:stop_words": r"stop words",
    "ratio": r"sentences?\b",
    "sentence": r"sentences?\b",
    "count:conjunctions": r"conjunctions",
    "count:keywords_multiple": r"keyword",
    "count:numbers": r"\d+(?:\.0)? numbers",
    "count:person_names": r"names\b",
    "count:pronouns": r"pronouns",
    "count:punctuation": r"punctuation",
    "count:unique_word_count": r"unique",
    "count:word_count_range": r"between \d+",
    "count:words_japanese": r"Japanese",
    "words:keywords_specific_position": r"keyword",
    "words:palindrome": r"palindrome",
    "words:vowel": r"vowels",
    "words:consonants": r"consonant",
    "words:prime_lengths": r"prime",
    "words:odd_even_syllables": r"syllables",
    "words:paragraph_last_first": r"paragraph",
    "words:start_verb": r"\bverb",
    "words": r"\bwords?\b",
    "format:emoji": r"emoji",
    "format:line_indent": r"stairs",
    "format:list": r"instead of bullet",
    "format:newline": r"new line",
    "format:no_bullets_bullets": r"bullet",
    "format:no_whitespace": r"whitespace",
    "format:options": r"options",
    "format:output_template": r"template|My Answer:|My Conclusion:|Future Outlook",
    "format:parentheses": r"parentheses",
    "format:quotes": r"quotes",
    "format:quote_unquote": r"quoted",
    "format:sub-bullets": r"bullet",
    "format:thesis": r"thesis",
    "format:title_case": r"title case",
    "repeat:repeat_simple": r"only output",
    "repeat:repeat_span": r"span",
    "repeat:repeat_change": r"repeat",
}
_PARTING = re.compile(r"(?<=[.!?:])[\"')\]”]*\s+(?=[\"'(\[“A-Z])|\n+")

_QUOTED = re.compile(r""":\s+["“][^"”]{60,}""")  # what the request is about, behind a constraint


def cut(prompt: str, checks: Sequence[Check]) -> str | None:
    """What is left of the prompt; None where the constraints cannot be cut out."""
    about = [_about(check.name) for check in checks]
    if not about or not all(about):
        return None
    pieces = _pieces(prompt)
    are_cut = [_OPENERS.match(piece.strip()) is not None and any(one.search(piece) for one in about if one)
               for piece in pieces]  # fmt: skip
    for k, piece in enumerate(pieces[1:], 1):  # examples of a form, and what a sentence about it leads to
        before = pieces[k - 1].rstrip()
        if are_cut[k - 1] and (piece.lstrip()[:1] in "*-(" or before.endswith((":", "such as", "i.e.", "e.g."))):
            are_cut[k] = True
    stated = [piece for piece, is_cut in zip(pieces, are_cut) if is_cut]
    kept = [piece for piece, is_cut in zip(pieces, are_cut) if not is_cut and re.search(r"[^\W\d]", piece)]
    left = "".join(kept).strip()
    left = re.sub(r"^Reference Text:\s*", "", left)
    if any(_QUOTED.search(piece) for piece in stated):
        return None
    if len(left.split()) < 3 or not all(any(one.search(piece) for piece in stated) for one in about if one):
        return None
    return None if any(one.search(left) for one in about if one) else left


def _about(name: str) -> re.Pattern[str] | None:
    found = _ABOUT.get(name, _ABOUT.get(name.partition(":")[0]))
    return None if found is None else re.compile(found, re.IGNORECASE)


def _pieces(prompt: str) -> list[str]:
    """Sentences and lines, each with the white space behind it."""
    ends = [found.end() for found in _PARTING.finditer(prompt)]
    return [prompt[start:end] for start, end in zip([0, *ends], [*ends, len(prompt)]) if start < end]
