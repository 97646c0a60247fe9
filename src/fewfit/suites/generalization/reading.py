"""Facts read out of sentences, by patterns that share nothing with the generators.

It reads what generators write and, as far as it can, what a model writes in its own words: articles, plurals, "is" for
"are", "less bright" for "dimmer". A sentence that it cannot read gives no fact, and one with a "not" gives none either.
"""

from __future__ import annotations

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


def make_reader(world: World, *, of_model: bool = False) -> Reader:
    """`of_model`: of what a model says, and not of what stands in the world."""
    read, learn = READERS[world.name], LEARN.get(world.name)
    if of_model and world.name in SAID:
        read, learn = SAID[world.name]
    reader = Reader(read)
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
