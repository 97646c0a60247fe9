"""Families that look something up: a mapping learnt from the demonstrations, or shown in the text."""

from __future__ import annotations

from lab import words as W
from lab.document import Item, Source, Task


def mapping(source: Source) -> Task:
    """Key to value; every key comes again and again, and only then its answer can be known."""
    keys = source.some(source.between(2, 8))
    if source.chance(0.3) and not source.fresh:
        source.restyle()
    values = source.some(len(keys))
    if source.chance(0.3):
        values = [f"{value} {source.word()}" for value in values]
    seen: set[str] = set()

    def make() -> Item:
        which = int(source.rng.random() * len(keys))
        known = keys[which] in seen
        seen.add(keys[which])
        return Item(keys[which], values[which], known)

    return Task("mapping", make)


def to_label_words(source: Source) -> Task:
    """A mapping to label words, mostly the held-out ones: no labelling, but they are written where labels stand."""
    keys = source.some(source.between(2, 6))
    pool = sorted(W.HELD_OUT_LABELS) if source.chance(0.6) else list(W.LABELS)
    values = source.rng.sample(pool, len(keys))
    seen: set[str] = set()

    def make() -> Item:
        which = int(source.rng.random() * len(keys))
        known = keys[which] in seen
        seen.add(keys[which])
        return Item(keys[which], values[which], known)

    return Task("mapping to label words", make)


def word_by_word(source: Source) -> Task:
    """Every word of the text is exchanged by the mapping that the demonstrations teach."""
    keys = source.some(source.between(2, 5))
    table = dict(zip(keys, source.some(len(keys)), strict=True))
    seen: set[str] = set()

    def make() -> Item:
        words = source.rng.sample(keys, min(len(keys), source.between(1, 3)))
        known = all(word in seen for word in words)
        seen.update(words)
        return Item(" ".join(words), " ".join(table[word] for word in words), known)

    return Task("word by word", make)


def lookup_in_text(source: Source) -> Task:
    """The text holds pairs and a key: its value is the answer."""
    inner = source.pick((" is", " :", " ->", " ="))
    mark = source.pick((";", " |", "?"))
    backwards = not source.fresh and source.chance(0.25)

    def make() -> Item:
        words = source.some(2 * source.between(1, 4))
        pairs = list(zip(words[::2], words[1::2], strict=True))
        key, value = source.pick(pairs)
        listing = ", ".join(f"{a}{inner} {b}" for a, b in pairs)
        return Item(f"{listing}{mark} {value if backwards else key}", key if backwards else value)

    told = "find the key that has the value." if backwards else "look up the value of the key."
    return Task("look up in text", make, (told,))


def after(source: Source) -> Task:
    """The word that follows the asked one in the text."""
    back = not source.fresh and source.chance(0.3)

    def make() -> Item:
        words = source.some(source.between(3, 6))
        i = source.between(0, len(words) - 2)
        ask, answer = (words[i + 1], words[i]) if back else (words[i], words[i + 1])
        return Item(f"{' '.join(words)}; {ask}", answer)

    where = "before" if back else "after"
    return Task("after", make, (f"which word comes {where} the last one?",))


SEEN = {"mapping": mapping, "word by word": word_by_word, "look up in text": lookup_in_text, "after": after}
