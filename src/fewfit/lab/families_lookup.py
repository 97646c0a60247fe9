"""Families that look something up: a mapping learnt from the demonstrations, or shown in the text."""

from __future__ import annotations

from fewfit.lab import words as W
from fewfit.lab.document import BLIND, CONTEXT, INFERABLE, Item, Part, Source, Task


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


# ---------------------------------------------------------------- plain text


def repetition(source: Source, budget: int) -> list[Part]:
    """A stretch of words said again and again, with changes of punctuation: where copying is learnt."""
    length = source.between(2, 24)
    stretch = [source.word() for _ in range(length)]
    glue = source.pick((" ", " ", ", ", "\n", "; "))
    text = glue.join(stretch)
    end = source.pick(("\n", "\n\n", " .", " |", ","))
    lead = "" if "\n" in end else " "
    text = lead + text
    parts: list[Part] = [(text + end, CONTEXT)]
    used = length
    while used < budget:
        if source.chance(0.2):
            other = " ".join(source.word() for _ in range(source.between(1, 6)))
            parts.append((lead + other + end, CONTEXT))
            used += 6
        parts.append((text + end, INFERABLE * 0.5))
        used += length
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


def far_repetition(source: Source, budget: int) -> list[Part]:
    """A stretch said again after a long while of other words."""
    words = source.some(source.between(4, 14))
    text = " " + " ".join(words)
    parts: list[Part] = [(text, CONTEXT)]
    used = len(words) * 2
    while used < budget:
        length = min(source.between(1, 120), max(1, budget - used))
        parts.append((" " + " ".join(source.word() for _ in range(length)), CONTEXT))
        parts.append((f" {words[0]}", CONTEXT))
        parts.append(("".join(f" {word}" for word in words[1:]), INFERABLE * 0.5))
        used += length + 2 * len(words)
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


def pairs(source: Source, budget: int) -> list[Part]:
    """Bare pairs in a stream, keys coming back: the simplest association."""
    keys = source.some(source.between(2, 10))
    values = source.some(len(keys))
    inner, end = source.pick(((" ", "\n"), (" ->", "\n"), (":", "\n"), (" is", "."), (" =", ",")))
    seen: set[int] = set()
    parts: list[Part] = []
    used = 0
    lead = "" if end == "\n" else " "
    while used < budget:
        i = int(source.rng.random() * len(keys))
        parts.append((f"{lead}{keys[i]}{inner.rstrip()}", CONTEXT))
        parts.append((f" {values[i]}{end}", INFERABLE if i in seen else BLIND))
        seen.add(i)
        used += 5
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


def lexicon_text(source: Source, budget: int) -> list[Part]:
    """What words mean: kind-of and attribute sentences, lists of a kind, same-kind words together."""
    parts: list[Part] = []
    used = 0
    while used < budget:
        form = source.rng.random()
        kind = source.pick(tuple(W.KINDS))
        word = source.pick(W.KINDS[kind])
        if form < 0.3:
            parts.append((f"{word} is a kind of", 0.3))
            parts.append((f" {kind}.\n", INFERABLE))
            used += 7
        elif form < 0.6 and kind in W.NOUN_KINDS:
            name = source.pick(("size", "age", "mood"))
            value = W.MEANING[word][name]
            frame = source.rng.random()
            if frame < 0.5:
                parts.append((f"the {word} is", 0.3))
                parts.append((f" {value}.\n", INFERABLE))
            else:
                a, b = W.ATTRIBUTES[name]
                parts.append((f"{word}, {a} or {b}?", 0.3))
                parts.append((f" {value}\n", INFERABLE))
            used += 7
        elif form < 0.8:
            sample = source.rng.sample(W.KINDS[kind], source.between(3, 7))
            parts.append((f"{kind}:", 0.3))
            parts.append((f" {', '.join(sample)}\n", 0.5))
            used += 14
        else:
            sample = source.rng.sample(W.KINDS[kind], source.between(3, 7))
            parts.append((f"{' '.join(sample)}\n", 0.5))
            used += 7
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


def attributes(source: Source, budget: int) -> list[Part]:
    """Size, age and mood of words: facts that no pattern gives, so they need many showings."""
    parts: list[Part] = []
    used = 0
    while used < budget:
        word = source.pick(W.KINDS[source.pick(W.NOUN_KINDS)])
        names = source.rng.sample(tuple(W.ATTRIBUTES), 3)
        text = " and".join(f" {W.MEANING[word][name]}" for name in names)
        parts.append((f"{word} is", 0.3))
        parts.append((f"{text}.\n", INFERABLE))
        used += 9
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


TEXTS = {
    "repetition": repetition,
    "far repetition": far_repetition,
    "pairs": pairs,
    "lexicon": lexicon_text,
    "attributes": attributes,
}
