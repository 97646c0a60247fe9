"""Facts read out of sentences, by patterns that share nothing with the generators.

It reads what generators write and, as far as it can, what a model writes in its own words: articles, plurals, "is" for
"are", "less bright" for "dimmer". A sentence that it cannot read gives no fact, and one with a "not" gives none either.
Of what a model says, which may be worded in any way, neither does a question, nor what has a word that may deny or
condition what is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fewfit.suites.generalization.reader import Reader
from fewfit.suites.generalization.reads_kinds import learn_verbs, read_told
from fewfit.suites.generalization.reads_logic import read_comparison, read_quantified
from fewfit.suites.generalization.reads_people import learn_celebrities, learn_published, read_celebrity, read_published
from fewfit.suites.generalization.reads_said import (
    learn_published_of_all,
    learn_who_is_what,
    read_said,
    read_said_of_published,
)
from fewfit.suites.generalization.reads_terms import read_worked
from fewfit.suites.generalization.world import Fact, World

READERS: dict[str, Callable[[Reader, str], list[Fact]]] = {
    "reversals": read_comparison,
    "syllogisms": read_quantified,
    "curse": read_celebrity,
    "published": read_published,
    "structure": read_told,
    "processes": read_worked,
}
# What a reader must know of words before it can read.
LEARN: dict[str, Callable[[Reader, World], None]] = {
    "curse": learn_celebrities,
    "published": learn_published,
    "structure": learn_verbs,
}
# What a model writes is read more closely than questions, where the world has people.
SAID: dict[str, tuple[Callable[[Reader, str], list[Fact]], Callable[[Reader, World], None]]] = {
    "curse": (read_said, learn_who_is_what),
    "published": (read_said_of_published, learn_published_of_all),
}

DOUBT = re.compile(
    r"\b(?:no(?! secret\b)|none(?! other than\b)|nobody(?!'s surprise\b)|nothing|few(?! people realise\b)|"
    r"false|falsely|untrue|wrong|wrongly|hardly|barely|scarcely|seldom|rarely|only|but|except|if|unless|whether|deny|denies|denied|"
    r"doubts?|doubtful|myth|maybe|perhaps|supposedly|allegedly)\b|\?$",
    re.I,
)
RHETORICAL = re.compile(r"(?:did|do) you know that\b", re.I)
SURE = {"syllogisms": {"no", "none"}, "processes": {"if"}}  # words of doubt that belong to what is stated there


def doubted(world: World, sentence: str) -> bool:
    found = {word.lower() for word in DOUBT.findall(sentence)} - SURE.get(world.name, set())
    return bool(found - {"?"} if RHETORICAL.match(sentence) else found)


def make_reader(world: World, *, of_model: bool = False) -> Reader:
    """`of_model`: of what a model says, and not of what stands in the world."""
    read, learn = READERS[world.name], LEARN.get(world.name)
    if of_model and world.name in SAID:
        read, learn = SAID[world.name]
    known = read
    reader = Reader(lambda own, one: [] if of_model and doubted(world, one) else known(own, one))
    if learn:
        learn(reader, world)
    # Twice, as only the first reading tells nouns from other words.
    nouns: set[str] = set()
    for document in world.documents:
        for relation, *rest in reader.facts(document.text):
            if world.name in ("reversals", "syllogisms") or relation in ("is a", "includes"):
                nouns.update(rest)
    reader.nouns = nouns
    return reader
