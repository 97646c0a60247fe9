"""Kinds and what they are, have, can and do to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fewfit.suites.generalization.reader import NEGATED, Reader, X, split_sentences
from fewfit.suites.generalization.world import Fact, World

REST = r"(?P<y>[a-z][a-z ,]*?)"
END = r"(?:, too)?[.!]?$"
# In this order: the first that fits is taken.
TOLD = tuple(
    (relation, re.compile(pattern + END))
    for relation, pattern in (
        ("includes", rf"\bamong {X} are {REST}"),
        ("includes", rf"\bone kind of {X} (?:are|is) {REST}"),
        ("includes", rf"\b{X} (?:include|includes|comprise|comprises) {REST}"),
        ("is a", rf"\b{X} (?:are|is) (?:a |one )?(?:type|kind|sort|subtype|form)s? of {REST}"),
        ("is a", rf"\b{X} (?:belong|belongs) to {REST}"),
        ("is a", rf"\b{X} (?:are|is) (?:classed|classified|counted) as {REST}"),
        ("is a", rf"\bput {X} with {REST}"),
        ("by", rf"\b{X} (?:are|is|get|gets) (?:often )?(?P<v>[a-z]+ed) by {REST}"),
        ("is", rf"\b{X} (?:are|is) known to be {REST}"),
        ("is", rf"\bword to describe {X} would be {REST}"),
        ("can", rf"\b{X} (?:can(?: easily)?|(?:are|is) able to) {REST}"),
        ("can", rf"\bwatch {X} for a while and you will see them {REST}"),
        ("has", rf"\b{X} (?:have|has|possess|possesses|comes? with) {REST}"),
        ("has", rf"\blook closely at {X} and you will find {REST}"),
        ("verb", rf"\b{X} (?:(?:are|is) known to |likes? to |often |will surely )(?P<v>[a-z]+) {REST}"),
        ("verb", rf"\b{X} (?P<v>[a-z]+) {REST}"),
        ("is", rf"\b{X} (?:are|is) {REST}"),
    )
)
SURE_VERB = re.compile(r"\b(?:known to|like to) (?P<v>(?!be\b)[a-z]+) [a-z]+[.]$")
SURE_PASSIVE = re.compile(r" (?P<v>[a-z]+ed) by [a-z]+[.]$")
LIST = re.compile(r",? and |, ")


def learn_verbs(reader: Reader, world: World) -> None:
    sentences = [one.lower() for document in world.documents for one in split_sentences(document.text)]
    reader.vocabulary = {word for one in sentences for word in re.findall(r"[a-z]+", one)}
    reader.verbs = {found["v"] for one in sentences if (found := SURE_VERB.search(one))}
    reader.verbs |= {active(found["v"], reader) for one in sentences if (found := SURE_PASSIVE.search(one))}


def active(verb: str, reader: Reader) -> str:
    """chase for chased, carry for carried, blick for blicked: whichever the documents have."""
    stem = verb.removesuffix("ed")
    forms = [stem + "e", stem[:-1] + "y" if stem.endswith("i") else stem, stem]
    return next((one for one in forms if one in reader.verbs or one in reader.vocabulary), stem)


def read_told(reader: Reader, sentence: str) -> list[Fact]:
    text = sentence.lower()
    if NEGATED.search(text) or text.endswith("?"):
        return []
    for relation, pattern in TOLD:
        for found in overlapping(pattern, text):
            facts = told_facts(reader, relation, found)
            if facts:
                return facts
    return []


def overlapping(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    at = 0
    while found := pattern.search(text, at):
        yield found
        at = found.start() + 1


def told_facts(reader: Reader, relation: str, found: re.Match[str]) -> list[Fact]:
    parts = found.groupdict()
    subject = reader.noun(parts["x"])
    if subject == "they":
        if not reader.nouns:
            return []  # while learning, nobody knows who that is
        subject = reader.last
    if reader.nouns and subject not in reader.nouns:
        return []
    rest = parts["y"]
    values = [re.sub(r"^(?:the|an?) ", "", value) for value in LIST.split(rest)]
    head: tuple[str, ...] = (relation,)
    if relation == "verb":
        verb = next((one for one in (parts["v"], parts["v"].removesuffix("s")) if one in reader.verbs), None)
        if verb is None:
            return []
        head = (verb,)
    elif relation == "by":
        head = ("by", active(parts["v"], reader))
    elif relation == "is" and all(reader.noun(value) in reader.nouns for value in values):
        head = ("is a",)  # "glon are femp", of two categories
    if head[0] not in ("is", "has", "can"):
        values = [reader.noun(value) for value in values]
    reader.last = subject
    return [(*head, subject, value) for value in values if value]
