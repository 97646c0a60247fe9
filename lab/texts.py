"""Running text without a task: repetition near and far, pairs, and what the words of the lexicon mean."""

from __future__ import annotations

from lab import words as W
from lab.document import BLIND, CONTEXT, INFERABLE, Part, Source


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


def distant_repetition(source: Source, budget: int) -> list[Part]:
    """Stretches that come back after anything up to the whole of a long document, among words that do not."""
    parts: list[Part] = []
    waiting: list[list[str]] = []
    filler = source.pick((W.SYLLABLES, W.SYLLABLES, W.SEEN_NONSENSE, tuple(W.LEXICON)))
    used = 0
    while used < budget:
        r = source.rng.random()
        if not waiting or r < 0.3:
            source.restyle()
            waiting.append(source.some(source.between(4, 14)))
            parts.append(("".join(f" {word}" for word in waiting[-1]), CONTEXT))
            used += 2 * len(waiting[-1])
        elif r < 0.6:
            length = source.between(1, 40 if source.chance(0.7) else 200)
            parts.append(("".join(f" {source.pick(filler)}" for _ in range(length)), CONTEXT))
            used += length
        else:
            which = int(source.rng.random() * len(waiting))
            words = waiting.pop(which) if source.chance(0.7) else waiting[which]
            parts.append((f" {words[0]}", CONTEXT))
            parts.append(("".join(f" {word}" for word in words[1:]), INFERABLE * 0.5))
            used += 2 * len(words)
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
        elif form < 0.8:  # from the kind to its words
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


def kind_words(source: Source, budget: int) -> list[Part]:
    """Kinds once more: sentences and lists of every form, half of them of kinds and words that no task may label.

    What labelling tasks teach about the other kinds and words has to come from here for these.
    """
    parts: list[Part] = []
    used = 0
    kinds = tuple(W.KINDS)
    while used < budget:
        kind = source.pick(W.HELD_OUT_KINDS) if source.chance(0.4) else source.pick(kinds)
        words = list(W.KINDS[kind])
        if source.chance(0.4):
            words = [word for word in words if word in W.HELD_OUT_WORDS]
        sample = source.rng.sample(words, min(len(words), source.between(2, 5)))
        word, other = sample[:2]
        form = source.rng.random()
        if form < 0.3:
            parts += [(f"{word} is a kind of", 0.3), (f" {kind}.\n", INFERABLE)]
        elif form < 0.5:
            parts += [(f"{word} and {other} are a kind of", 0.3), (f" {kind}.\n", INFERABLE)]
        elif form < 0.65:
            parts += [(f"a kind of {kind}:", 0.3), (f" {word}.\n", 0.5)]
        elif form < 0.8:
            stranger = source.pick(W.KINDS[source.pick([k for k in kinds if k != kind])])
            parts += [(f"{word} is like", 0.3), (f" {other}", 0.5), (f", not {stranger}.\n", 0.3)]
        else:
            parts.append((f"{' '.join(sample)}\n", 0.5))
        used += 8
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


def alike(source: Source, budget: int) -> list[Part]:
    """Which word is of the same kind as another, of all kinds alike: found in context, and never a label."""
    parts: list[Part] = []
    used = 0
    kinds = tuple(W.KINDS)

    def word_of(kind: str) -> str:
        words = W.KINDS[kind]
        word = source.pick(words)
        return word if word in W.HELD_OUT_WORDS or source.chance(0.7) else source.pick(words)

    def kind_but(taken: list[str]) -> str:
        while True:
            kind = source.pick(W.HELD_OUT_KINDS) if source.chance(0.35) else source.pick(kinds)
            if kind not in taken:
                return kind

    while used < budget:
        chosen: list[str] = []
        for _ in range(source.between(2, 5)):
            chosen.append(kind_but(chosen))
        words = [word_of(kind) for kind in chosen]
        which = int(source.rng.random() * len(words))
        asked = source.pick([w for w in W.KINDS[chosen[which]] if w != words[which]])
        listing = ", ".join(words)
        form = source.rng.random()
        if form < 0.3:
            parts += [(f"among {listing}, {asked} is like", 0.1), (f" {words[which]}.\n", INFERABLE)]
        elif form < 0.5:
            parts += [(f"{' '.join(words)}: {asked} goes with", 0.1), (f" {words[which]}\n", INFERABLE)]
        elif form < 0.6:
            parts += [(f"{asked} goes with one of {' '.join(words)}:", 0.1), (f" {words[which]}\n", INFERABLE)]
        elif form < 0.8:
            same = source.chance(0.5)
            other = words[which] if same else words[which - 1]
            parts += [(f"{asked} and {other} are", 0.1), (" the same" if same else " different", 2.0), (".\n", 0.1)]
        else:
            parts += [(f"{asked} is a kind of", 0.1), (f" {chosen[which]}.\n", INFERABLE)]
        used += 8 + 2 * len(words) if form < 0.6 else 7
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
    "distant repetition": distant_repetition,
    "pairs": pairs,
    "kind words": kind_words,
    "alike": alike,
    "lexicon": lexicon_text,
    "attributes": attributes,
}
