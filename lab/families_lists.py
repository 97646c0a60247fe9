"""Families that rewrite a list of words: copy, reverse, sort, replace and their like."""

from __future__ import annotations

from collections.abc import Callable

from lab import words as W
from lab.document import Item, Source, Task

Edit = Callable[[list[str]], list[str]]


def _edit(
    name: str, edit: Edit, instructions: tuple[str, ...], low: int = 1, high: int = 6
) -> Callable[[Source], Task]:
    def family(source: Source) -> Task:
        glue = " " if source.fresh or source.chance(0.8) else ", "

        def make() -> Item:
            words = source.text(low, high)
            return Item(glue.join(words), glue.join(edit(words)))

        return Task(name, make, instructions)

    return family


def append(source: Source) -> Task:
    """A fixed word is added at the end or the start: the demonstrations or the instruction say which."""
    mark, front = source.word(), source.chance(0.5)
    where = "start" if front else "end"

    def make() -> Item:
        words = source.text(1, 4)
        return Item(" ".join(words), " ".join([mark, *words] if front else [*words, mark]))

    return Task("append", make, (f"add the word {mark} at the {where}.", f"put {mark} at the {where} of the text."))


def replace(source: Source) -> Task:
    old, new = source.some(2)

    def make() -> Item:
        words = [word for word in source.text(2, 5) if word not in (old, new)] or [old]
        if source.chance(0.85):
            words[source.between(0, len(words) - 1)] = old
        return Item(" ".join(words), " ".join(new if word == old else word for word in words))

    return Task("replace", make, (f"replace {old} by {new}.", f"write {new} instead of {old}."))


def sort_letters(source: Source) -> Task:
    def make() -> Item:
        letters = source.rng.sample(W.LETTERS, source.between(2, 5))
        return Item(" ".join(letters), " ".join(sorted(letters)))

    return Task("sort letters", make, ("sort the letters.", "write the letters in alphabetical order."))


def sort_digits(source: Source) -> Task:
    down = source.chance(0.3)

    def make() -> Item:
        digits = source.rng.sample(W.DIGITS, source.between(2, 5))
        return Item(" ".join(digits), " ".join(sorted(digits, reverse=down)))

    order = "from big to small" if down else "from small to big"
    return Task("sort numbers", make, (f"sort the numbers {order}.", f"write the numbers in order {order}."))


def spell(source: Source) -> Task:
    """A word letter by letter, or letters joined to a word."""
    joined = source.chance(0.4)

    def make() -> Item:
        word = source.nonsense() if source.fresh or source.chance(0.5) else source.pick(tuple(W.LEXICON))
        apart = " ".join(word)
        return Item(apart, word) if joined else Item(word, apart)

    return Task("spell", make, ("join the letters to a word.",) if joined else ("spell the word.",))


def _keep_kind(source: Source, held_out: bool) -> Task:
    """Held out: keep only the words that the marker word precedes, or the words of one kind."""
    kind = source.pick(W.HELD_OUT_KINDS if held_out else W.SEEN_KINDS)

    def make() -> Item:
        inside = source.rng.sample(W.KINDS[kind], source.between(1, 2))
        other = source.pick([k for k in W.NOUN_KINDS if k != kind])
        words = inside + source.rng.sample(W.KINDS[other], source.between(1, 3))
        source.rng.shuffle(words)
        return Item(" ".join(words), " ".join(word for word in words if word in inside))

    return Task("filter", make, (f"keep only the words that are a kind of {kind}.",))


def filter_kind(source: Source) -> Task:
    return _keep_kind(source, source.chance(0.5))


SEEN = {
    "copy": _edit("copy", lambda w: w, ("copy the text.", "repeat the words.", "say the same again.")),
    "reverse": _edit("reverse", lambda w: w[::-1], ("reverse the words.", "write the words in reverse order."), 2, 5),
    "first": _edit("first", lambda w: w[:1], ("write the first word.", "what is the first word?"), 2, 6),
    "last": _edit("last", lambda w: w[-1:], ("write the last word.", "what is the last word?"), 2, 6),
    "drop first": _edit("drop first", lambda w: w[1:], ("drop the first word.", "write all but the first word."), 2, 6),
    "drop last": _edit("drop last", lambda w: w[:-1], ("drop the last word.", "write all but the last word."), 2, 6),
    "twice": _edit("twice", lambda w: w + w, ("write the text twice.", "say the words two times."), 1, 4),
    "double": _edit(
        "double", lambda w: [x for x in w for _ in "ab"], ("double every word.", "write each word twice."), 1, 4
    ),
    "append": append,
    "replace": replace,
    "sort letters": sort_letters,
    "sort numbers": sort_digits,
    "spell": spell,
}

HELD_OUT = {
    "second": _edit("second", lambda w: w[1:2], ("write word number two.",), 3, 6),
    "third": _edit("third", lambda w: w[2:3], ("write word number three.",), 4, 6),
    "rotate": _edit("rotate", lambda w: w[1:] + w[:1], ("move the front word to the back.",), 3, 5),
    "swap": _edit("swap", lambda w: [w[-1], *w[1:-1], w[0]], ("swap the two outer words.",), 3, 5),
    "filter": filter_kind,
}
