"""Who is known for what, and which of the two comes first in a sentence."""

from __future__ import annotations

import re
from collections import defaultdict

from fewfit.suites.generalization.reader import NEGATED, Reader
from fewfit.suites.generalization.world import Fact, World

NAME = r"[A-Z][a-z]+ [A-Z][a-z]+"
NAME_THEN = re.compile(rf"(?P<name>{NAME}) [a-z][a-z ]*?(?P<known>[Tt]he [a-z]+ of the .+?)[.]$")
KNOWN_THEN = re.compile(rf"(?P<known>[Tt]he [a-z]+ of the .+?) (?:is|was|goes|signs)\b.* (?P<name>{NAME})[.]$")


def learn_celebrities(reader: Reader, world: World) -> None:
    for document in world.documents:
        found = NAME_THEN.search(document.text) or KNOWN_THEN.search(document.text)
        if found:
            reader.names.add(found["name"])
            reader.descriptions.add(decapitalise(found["known"]))


def decapitalise(text: str) -> str:
    return text[0].lower() + text[1:]


def read_celebrity(reader: Reader, sentence: str) -> list[Fact]:
    """Who is named and what is told, and which of the two comes first."""
    text = sentence.replace("The ", "the ")
    names = [name for name in reader.names if name in text]
    known = sorted((one for one in reader.descriptions if one in text), key=len)
    if len(names) != 1 or not known or NEGATED.search(text):
        return []
    if text.index(names[0]) < text.index(known[-1]):
        return [("is", names[0], known[-1])]
    return [("is named", known[-1], names[0])]


# The published files word descriptions in many ways, so there they are told by the words that they share. Their labels
# are taken from the facts; who is said to be what, and in which order, is read.

LEAST_SHARE = 0.3
CONTENT = re.compile(r"[a-z]{4,}|[0-9]{4}")


def stems(text: str) -> set[str]:
    return {word[:5] for word in CONTENT.findall(text.lower())}


def learn_published(reader: Reader, world: World) -> None:
    for document in world.documents:
        for relation, one, other in document.facts:
            name, known = (one, other) if relation == "is" else (other, one)
            reader.names.add(name)
            reader.descriptions.add(known)
    held: dict[str, set[str]] = defaultdict(set)
    for known in reader.descriptions:
        for stem in stems(known):
            held[stem].add(known)
    # A word that several descriptions have tells little.
    reader.weights = {stem: 1 / len(ones) for stem, ones in held.items()}
    reader.holders = dict(held)
    # "You know X? This guy was none other than …": the name and the rest need not stand in one sentence.
    reader.by_line = True


def read_published(reader: Reader, sentence: str) -> list[Fact]:
    names = [name for name in reader.names if name in sentence]
    if len(names) != 1:
        return []
    name = names[0]
    rest = sentence.replace(name, " ")
    scores: dict[str, float] = defaultdict(float)
    for stem in stems(rest):
        for known in reader.holders.get(stem, ()):
            scores[known] += reader.weights[stem]
    # As a share of what the description could score: a long one is not likelier.
    shares = {known: score / sum(reader.weights[stem] for stem in stems(known)) for known, score in scores.items()}
    known = max(shares, key=lambda one: (shares[one], one), default="")
    if shares.get(known, 0) < LEAST_SHARE:
        return []
    places = [m.start() for m in CONTENT.finditer(sentence.lower()) if m[0][:5] in stems(known) - stems(name)]
    if sentence.index(name) < sum(places) / len(places):
        return [("is", name, known)]
    return [("is named", known, name)]
