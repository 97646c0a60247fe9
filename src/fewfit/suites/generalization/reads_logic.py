"""Comparisons ("glon are brighter than femp", "femp are less bright") and statements with all, some and no."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fewfit.suites.generalization.reader import BE, NEGATED, Reader, X, Y
from fewfit.suites.generalization.world import Fact

OPPOSITES = """bright dim, heavy light, tall short, fast slow, loud quiet, old young, warm cool, hard soft, wet dry,
    strong weak, rough smooth, clean dirty, deep shallow, wide narrow, thick thin, sharp blunt, costly cheap,
    rare common, brave shy, kind cruel, happy sad, calm wild, large small, rich poor, tight loose, safe risky,
    fresh stale, simple tricky"""


def compare(adjective: str) -> str:
    """brighter, drier, safer, thinner; "shyer" keeps its y, and "commoner" one n."""
    if adjective.endswith("y") and adjective != "shy":
        return adjective[:-1] + "ier"
    if adjective.endswith("e"):
        return adjective + "r"
    if (re.search(r"[^aeiou][aeiou][bdgmnt]$", adjective) and adjective != "common") or adjective == "cruel":
        return adjective + adjective[-1] + "er"
    return adjective + "er"


def pairs_of_opposites() -> Iterator[tuple[str, str]]:
    for pair in OPPOSITES.split(","):
        one, other = pair.split()
        yield one, other
        yield other, one


OPPOSITE = {compare(one): compare(other) for one, other in pairs_of_opposites()}
OPPOSITE_OF_PLAIN = {one: compare(other) for one, other in pairs_of_opposites()}

COMPARED = re.compile(
    rf"\b{X} {BE} (?:(?P<c>[a-z]+er)|less (?P<less>[a-z]+)|more (?P<more>[a-z]+)|not as (?P<short>[a-z]+))"
    rf" (?:than|as) {Y}\b"
)
COMPARED_WITH = re.compile(rf"\bcompared (?:with|to) {Y}, {X} {BE} (?:(?P<c>[a-z]+er)|less (?P<less>[a-z]+))\b")


def read_comparison(reader: Reader, sentence: str) -> list[Fact]:
    text = sentence.lower()
    found = COMPARED.search(text) or COMPARED_WITH.search(text)
    if not found or (NEGATED.search(text) and "not as" not in text):
        return []
    parts = found.groupdict()
    if parts["c"]:
        relation = parts["c"]
    elif parts.get("more"):
        relation = compare(parts["more"])
    else:
        relation = OPPOSITE_OF_PLAIN.get(parts.get("less") or parts.get("short") or "", "")
    return [(relation, reader.noun(parts["x"]), reader.noun(parts["y"]))] if relation in OPPOSITE else []


QUANTIFIED = re.compile(
    rf"\b(?P<q>all|every one|every|each|any|some|none|no)(?: of)? {X} {BE} (?:also |among |part of |members? of )?{Y}\b"
)


def read_quantified(reader: Reader, sentence: str) -> list[Fact]:
    text = sentence.lower()
    if NEGATED.search(text):
        return []
    kind = {"some": "some", "none": "no", "no": "no"}
    return [
        (kind.get(found["q"], "all"), reader.noun(found["x"]), reader.noun(found["y"]))
        for found in QUANTIFIED.finditer(text)
    ]
