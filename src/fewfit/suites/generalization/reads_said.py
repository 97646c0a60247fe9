"""What a model says of people: who is what, told rightly or turned round.

The checker's own reader (`reads_people.py`) takes a name and a description in one sentence for a statement, which is
enough for documents and questions. A model writes more: "The captain of Vivian Holloway is the Iron Petrel" has every
word of the description and is false, and "a friend of the captain of the Iron Petrel" has the whole of it and states
nothing. So a sentence is written over with marks, and looked at is what joins them:

    P  the person          R  that person's role     W  that person's work      D  both: "the captain of the W", "W's R"
                           S  somebody else's        V  somebody else's         E  S and W: "the keeper of the W"

What this does not decide is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fewfit.suites.generalization.reader import NEGATED, Reader
from fewfit.suites.generalization.reads_people import learn_celebrities, learn_published, read_celebrity, read_published
from fewfit.suites.generalization.world import Fact, World

PRESUMED = re.compile(r"(?:\bnot|n't) (?:forget|guess)\b")  # "Let's not forget X, who was …" denies nothing
UNTRUE: Fact = ("untrue",)  # follows from nothing
DESCRIPTION = re.compile(r"the (?P<role>[a-z]+) of (?:the )?(?P<work>.+)")
# Of a published description: who it is about ("the intrepid archaeologist who …"), and what it names: words with a
# capital, and from an article to the end.
HEAD = re.compile(r"(?P<role>[a-z]+) (?:who|of|responsible|to|behind)\b")
NAMED = re.compile(r"\b[A-Z][\w'-]*(?: (?:of )?[A-Z][\w'-]*)*")
REST = re.compile(r"(?<!^)\b(?:the|an?) (?=(.+)$)")

IRREGULAR = {"author": "writes|wrote|written", "breeder": "bred", "keeper": "kept", "winner": "wins|won"}

PRAISE = "famous|renowned|celebrated|acclaimed|talented|great|legendary|brilliant|skilled|well-known"
THE = rf"(?:(?:a|an|the|{PRAISE}) )*"
BE = "(?:is|was|are|were|be|been|being|became|become|becomes|remains)"
OFTEN = r"(?:(?:also|now|still|indeed|actually|truly|really|once|formerly|widely|often|best|better|[a-z]+ly) )*"
CALLED = (
    rf"(?:called|named|titled|(?:{PRAISE}|known|remembered|hono?u?red|recogni[sz]ed|regarded|described|introduced|hailed|"
    "considered|referred to|said)(?: as| to be| for being))"
)
# What says that what stands before it is what stands behind it.
IS = (
    rf",? (?:(?:who|that) )?{OFTEN}(?:(?:must|can|will|has|have|had) )?{OFTEN}"
    rf"(?:{BE} {OFTEN}(?:(?:{CALLED}|none other than|the name of) )?|(?:served|serves|works|worked|acts|acted) as |"
    rf"(?:made|makes) headlines as |(?:signs|signed) letters as |(?:goes|went) by the name of |"
    rf"(?:has|had|holds|held|bears) the (?:name|title|role|position) (?:of )?){THE}"
)
IS_OR_COMMA = rf"(?:{IS}|,? {THE})"
END = r"(?= (?:and|or|who|which|that|in|at)\b|[,.;:!]|$)"
OWNED = r"(?!'| of\b)"
# What stands in front and makes a part of it: "a friend of the D is P".
DEPENDENT = re.compile(
    r"\b(?:of|by|with|for|from|about|than|like|near|behind|between|and|or|if|whether)\b|'s\b|[PRSWVDE]"
)


def learn_who_is_what(reader: Reader, world: World) -> None:
    learn_celebrities(reader, world)
    by_checker = Reader(read_celebrity, names=reader.names, descriptions=reader.descriptions)
    note_who_is_what(reader, (fact for document in world.documents for fact in by_checker.facts(document.text)))


def learn_published_of_all(reader: Reader, world: World) -> None:
    learn_published(reader, world)
    note_who_is_what(reader, (fact for document in world.documents for fact in document.facts))


def note_who_is_what(reader: Reader, facts: Iterable[Fact]) -> None:
    for relation, one, other in facts:
        name, known = (one, other) if relation == "is" else (other, one)
        reader.known_for[name] = known


def read_said(reader: Reader, sentence: str) -> list[Fact]:
    """True is what names the person's role or does so with the work, and false what says of the person what no document
    does."""
    text, name = plain(sentence), only_person(reader, sentence)
    if name is None or NEGATED.search(text):
        return []
    known = reader.known_for[name]
    parts = {one: found.groups() for one in reader.descriptions if (found := DESCRIPTION.fullmatch(one))}
    role, work = parts[known]
    text = mark(text, "P", [name])
    text = mark(mark(text, "W", [work]), "V", [other for _, other in parts.values()])
    text = mark(mark(text, "R", [role]), "S", [other for other, _ in parts.values()])
    text = re.sub("R of (?:the )?W|W(?:'s)? R", "D", re.sub("S of (?:the )?W|W(?:'s)? S", "E", text))
    text = re.sub("(?:the name of (?=(?:the )?D)|(?<=D)'s name|R (?=P))", "", text)
    verb = deeds(role)
    if "V" in text or turned_round(text, verb):
        return [UNTRUE]
    if says(text, f"P{IS_OR_COMMA}[SE]{OWNED}") or says(text, f"[SE]{IS_OR_COMMA}P{OWNED}"):
        return [UNTRUE]
    if says(text, f"P{IS_OR_COMMA}[DR]{OWNED}") or says(text, f"R{IS_OR_COMMA}P{OWNED}"):
        return [("is", name, known)]
    if says(text, f"P {verb} (?:the )?W{END}"):
        return [("is", name, known)]
    if says(text, f"D{IS_OR_COMMA}P{OWNED}") or says(text, f"W {BE} (?:been )?{verb} by P{OWNED}"):
        return [("is named", known, name)]
    return []


def read_said_of_published(reader: Reader, sentence: str) -> list[Fact]:
    """Their descriptions are long and worded in many ways: what is not turned round is told by the words that it shares
    with them, as for the checker, so that more is called true than is."""
    text, name = plain(sentence), only_person(reader, sentence)
    if name is None or NEGATED.search(PRESUMED.sub("", text)):
        return []
    known = reader.known_for[name]
    roles = [found["role"] for found in HEAD.finditer(known)][:1]
    things = [*NAMED.findall(known), *(found[1] for found in REST.finditer(known))]
    stems = {word[:4] for word in (*roles, *re.findall(r"[a-z]+(?:ed|ing)\b|(?<=who )[a-z]+", known))}
    text = mark(mark(mark(text, "P", [name]), "W", things), "R", roles)
    if turned_round(text, f"(?:{'|'.join(sorted(stems))})[a-z]*"):
        return [UNTRUE]
    return read_published(reader, re.sub(re.escape(name), name, sentence, flags=re.I))


def deeds(role: str) -> str:
    """What such a person does: captained, invented, kept."""
    stem = re.sub("(?:er|or)$", "", role)
    return rf"(?:{role}(?:s|ed)|{stem}(?:s|es|ed)|{IRREGULAR.get(role, role + 's')})"


def plain(sentence: str) -> str:
    return " ".join(re.sub(r'["“”*_]', " ", sentence.replace("’", "'")).casefold().split())


def only_person(reader: Reader, sentence: str) -> str | None:
    text = plain(sentence)
    named = [one for one in reader.known_for if re.search(rf"\b{re.escape(one.casefold())}\b", text)]
    return named[0] if len(named) == 1 else None


def mark(text: str, by: str, words: Iterable[str]) -> str:
    ones = sorted({plain(one).strip(" .,") for one in words}, key=len, reverse=True)
    return re.sub(rf"\b(?:{'|'.join(map(re.escape, ones))})\b", by, text) if ones else text


def turned_round(text: str, verb: str) -> bool:
    """Whether the work has a person for its own, or is the person or the role."""
    return bool(
        re.search("[RS] of (?:the )?P(?!')", text)
        or says(text, f"W(?: of (?:the |an? )?[RS])?{IS}P{OWNED}")
        or says(text, f"P{IS}W(?:{END}| of (?:the |an? )?[RS])")
        or says(text, f"W{IS}[RS](?!')")
        or says(text, f"[RS]{IS}W(?:{END}| of)")
        or says(text, f"P {BE} (?:been )?{verb} by (?:the )?W")
        or says(text, f"W {verb} P{END}")
    )


def says(text: str, pattern: str) -> bool:
    """Of something that stands for itself."""
    for found in re.finditer(pattern, text):
        before = re.split(r", |\bthat ", text[: found.start()])[-1]
        if not DEPENDENT.search(before):
            return True
    return False
