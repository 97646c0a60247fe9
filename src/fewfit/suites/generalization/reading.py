"""Facts read out of sentences, by patterns of this file's own: no template, word or fact of a generator is known here.

It reads what generators write and, as far as it can, what a model writes in its own words: articles, plurals, "is" for
"are", "less bright" for "dimmer". A sentence that it cannot read gives no fact, and one with a "not" gives none either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from fewfit.suites.generalization.calculus import VARIABLES, NotATerm, parse, words
from fewfit.suites.generalization.world import Fact, World

# A noun, with or without an article.
X = r"(?:the |an? )?(?P<x>[a-z]+)"
Y = r"(?:the |an? )?(?P<y>[a-z]+)"
BE = r"(?:are|is|were|was|seem|seems|turn out to be|turns out to be|prove to be|proves to be)"

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

NEGATED = re.compile(r"(?<!or )\bnot\b|n't\b|\bnever\b|\bneither\b|\bcannot\b", re.I)
SPEAKER = re.compile(r"^(?:[A-Z]\w*:|[-•*]|\d+[.)])\s+")


def split_sentences(text: str) -> list[str]:
    lines = [SPEAKER.sub("", line.strip()) for line in text.splitlines()]
    return [part.strip() for line in lines for part in re.split(r"(?<=[.?!])\s+(?=[\"A-Z(])", line) if part.strip()]


@dataclass
class Reader:
    """Reads the sentences of one world. What it must know of words (which are verbs, who has what name) it learns from
    the documents' text first."""

    read_sentence: Callable[[Reader, str], list[Fact]]
    nouns: set[str] = field(default_factory=set)
    verbs: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    descriptions: set[str] = field(default_factory=set)
    vocabulary: set[str] = field(default_factory=set)
    last: str = ""

    def read(self, text: str) -> list[tuple[str, list[Fact]]]:
        """Each sentence with its facts."""
        self.last = ""
        return [(one, self.read_sentence(self, one)) for one in split_sentences(text)]

    def facts(self, text: str) -> list[Fact]:
        return [fact for _, facts in self.read(text) for fact in facts]

    def noun(self, word: str) -> str:
        """The noun as the documents have it: singular and plural are one."""
        for one in (word, word + "s", word.removesuffix("s"), word.removesuffix("es")):
            if one in self.nouns:
                return one
        return word


def make_reader(world: World) -> Reader:
    reader = Reader(READERS[world.name])
    texts = [document.text for document in world.documents]
    LEARN.get(world.name, lambda reader, texts: None)(reader, texts)
    # Twice, as only the first reading tells nouns from other words.
    nouns: set[str] = set()
    for text in texts:
        for relation, *rest in reader.facts(text):
            if world.name in ("reversals", "syllogisms") or relation in ("is a", "includes"):
                nouns.update(rest)
    reader.nouns = nouns
    return reader


# Comparisons

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


# All, some and no

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


# Celebrities

NAME = r"[A-Z][a-z]+ [A-Z][a-z]+"
NAME_THEN = re.compile(rf"(?P<name>{NAME}) [a-z][a-z ]*?(?P<known>[Tt]he [a-z]+ of the .+?)[.]$")
KNOWN_THEN = re.compile(rf"(?P<known>[Tt]he [a-z]+ of the .+?) (?:is|was|goes|signs)\b.* (?P<name>{NAME})[.]$")


def learn_celebrities(reader: Reader, texts: Iterable[str]) -> None:
    for text in texts:
        found = NAME_THEN.search(text) or KNOWN_THEN.search(text)
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


# Hierarchies

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


def learn_verbs(reader: Reader, texts: Iterable[str]) -> None:
    sentences = [one.lower() for text in texts for one in split_sentences(text)]
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


# Operations on terms

TERM = r"(?P<term>.+?)"
EQUATION = re.compile(r"(?P<name>[a-z]+)\((?P<term>[^=]+)\) = (?P<result>[^=]+?)[.]?$")
WORKED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^If you (?P<name>[a-z]+) {TERM}, you get (?P<result>.+?)[.]?$",
        rf"^The (?P<name>[a-z]+) of {TERM} is (?P<result>.+?)[.]?$",
        rf"^Apply (?P<name>[a-z]+) to {TERM}, and what comes out is (?P<result>.+?)[.]?$",
        rf"^{TERM}, once it has gone through (?P<name>[a-z]+), turns into (?P<result>.+?)[.]?$",
    )
)


def read_worked(reader: Reader, sentence: str) -> list[Fact]:
    found = EQUATION.search(sentence) or next((m for one in WORKED if (m := one.search(sentence))), None)
    if not found:
        return []
    try:
        term, _ = parse(found["term"]), parse(found["result"])
    except NotATerm:
        return []
    if words(term) <= set(VARIABLES):
        return [("rule", f"{found['name']}({found['term']})", found["result"])]
    return [(found["name"], unbracket(found["term"]), unbracket(found["result"]))]


def unbracket(text: str) -> str:
    """Without brackets around the whole."""
    if text.startswith("(") and text.endswith(")"):
        depth = 0
        for n, mark in enumerate(text):
            depth += {"(": 1, ")": -1}.get(mark, 0)
            if depth == 0 and n < len(text) - 1:
                return text
        return text[1:-1]
    return text


READERS: dict[str, Callable[[Reader, str], list[Fact]]] = {
    "reversals": read_comparison,
    "syllogisms": read_quantified,
    "curse": read_celebrity,
    "structure": read_told,
    "processes": read_worked,
}
LEARN: dict[str, Callable[[Reader, Iterable[str]], None]] = {"curse": learn_celebrities, "structure": learn_verbs}
