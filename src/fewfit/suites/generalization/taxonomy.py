"""A hierarchy of made-up animals and objects in the manner of Rogers and McClelland: what is true of its categories.

Two roots; each category has properties of its own ("are", "have", "can"), and some do something to others. What holds
of a category holds of all below it. Facts, as everywhere in these worlds, read from left to right:

    ("is a", x, y)  ("is", x, quality)  ("has", x, part)  ("can", x, ability)  (verb, x, y)
    ("includes", y, x) and ("by", verb, y, x) are the same from the other side: y include x, y are verbed by x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from fewfit.draw import number
from fewfit.suites.generalization.drawing import Key, pick, sample, shuffle
from fewfit.suites.generalization.words import Lexicon, draw_lexicon
from fewfit.suites.generalization.world import Fact, Names

PROPERTIES = ("is", "has", "can")


@dataclass(frozen=True)
class Shape:
    """How many categories on each level, the roots first; how many of the lowest are held out; how many properties of
    its own a category has, at least and at most, above the lowest level and on it; relations, and verbs for them."""

    levels: tuple[int, ...]
    held_out: int
    own: tuple[int, int]
    own_lowest: tuple[int, int]
    relations: int
    verbs: int


@dataclass(frozen=True)
class Taxonomy:
    """`base` are the facts that all others follow from, in the order of their subjects."""

    levels: tuple[tuple[str, ...], ...]
    parent: dict[str, str]
    base: tuple[Fact, ...]
    held_out: frozenset[str]

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self.depth)

    @cached_property
    def depth(self) -> dict[str, int]:
        """The level of each category."""
        return {category: n for n, level in enumerate(self.levels) for category in level}

    def level(self, category: str) -> int:
        return self.depth[category]

    def above(self, category: str) -> list[str]:
        """Its parent, and so on to the root."""
        out = []
        while category in self.parent:
            category = self.parent[category]
            out.append(category)
        return out

    def of(self, category: str) -> list[Fact]:
        return [fact for fact in self.base if fact[1] == category]


def reverse(fact: Fact) -> Fact | None:
    """The same from the other side, where there is one."""
    relation, one, other = fact
    if relation in PROPERTIES:
        return None
    return ("includes", other, one) if relation == "is a" else ("by", relation, other, one)


def inherited(taxonomy: Taxonomy, category: str) -> list[tuple[Fact, int]]:
    """What holds of the category through those above it, and over how many steps: 1 for what the parent has."""
    return [
        ((fact[0], category, fact[2]), steps)
        for steps, above in enumerate(taxonomy.above(category), 1)
        for fact in taxonomy.of(above)
    ]


def all_truths(taxonomy: Taxonomy) -> frozenset[Fact]:
    forward = list(taxonomy.base)
    for category in taxonomy.categories:
        forward += [fact for fact, _ in inherited(taxonomy, category)]
    return frozenset(forward) | frozenset(back for fact in forward if (back := reverse(fact)))


def make_taxonomy(shape: Shape, names: Names, *key: Key) -> Taxonomy:
    counts = count_properties(shape, *key)
    kinds = [n % 3 for n in range(sum(counts))]
    lexicon = draw_lexicon(
        names,
        *key,
        animals=sum(-(-level // 2) for level in shape.levels),
        objects=sum(level // 2 for level in shape.levels),
        qualities=kinds.count(0),
        parts=kinds.count(1),
        abilities=kinds.count(2),
        verbs=shape.verbs,
    )
    levels, parent = make_tree(shape, lexicon)
    held_out = frozenset(sample(levels[-1], shape.held_out, *key, "held out"))
    # The kinds go round, so that each level has as many of each.
    words = {kind: iter(ones) for kind, ones in zip(PROPERTIES, (lexicon.qualities, lexicon.parts, lexicon.abilities))}
    own = iter([(PROPERTIES[kind], next(words[PROPERTIES[kind]])) for kind in kinds])
    base: list[Fact] = []
    categories = [category for level in levels for category in level]
    acting = relate(shape, [category for category in categories if category not in held_out], lexicon.verbs, *key)
    for category, count in zip(categories, counts):
        if category in parent:
            base.append(("is a", category, parent[category]))
        properties = [(kind, category, value) for kind, value in islice(own, count)]
        if category not in held_out:
            base += properties
            base += [fact for fact in acting if fact[1] == category]
    return Taxonomy(levels, parent, tuple(base), held_out)


def count_properties(shape: Shape, *key: Key) -> list[int]:
    out = []
    for level, size in enumerate(shape.levels):
        low, high = shape.own_lowest if level == len(shape.levels) - 1 else shape.own
        out += [low + number(*key, "own", level, n) % (high - low + 1) for n in range(size)]
    return out


def make_tree(shape: Shape, lexicon: Lexicon) -> tuple[tuple[tuple[str, ...], ...], dict[str, str]]:
    """Animals stand below one root and objects below the other; children are dealt out evenly."""
    animals, objects = iter(lexicon.animals), iter(lexicon.objects)
    levels: list[tuple[str, ...]] = []
    parent: dict[str, str] = {}
    kingdom: dict[str, int] = {}
    for size in shape.levels:
        level = tuple(next(objects if n % 2 else animals) for n in range(size))
        for n, category in enumerate(level):
            kingdom[category] = n % 2
            if levels:
                above = [one for one in levels[-1] if kingdom[one] == n % 2]
                parent[category] = above[(n // 2) % len(above)]
        levels.append(level)
    return tuple(levels), parent


def relate(shape: Shape, categories: list[str], verbs: tuple[str, ...], *key: Key) -> list[Fact]:
    """(verb, x, y) with each pair once. Subjects and objects go round, so that nobody does or bears everything."""
    subjects, objects = shuffle(categories, *key, "subjects"), shuffle(categories, *key, "objects")
    out: list[Fact] = []
    for n in range(shape.relations):
        subject = subjects[n % len(subjects)]
        taken = {fact[2] for fact in out if fact[1] == subject}
        free = [one for one in objects[n % len(objects) :] + objects if one != subject and one not in taken]
        out.append((pick(verbs, *key, "verb", n), subject, free[0]))
    return out
