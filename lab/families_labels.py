"""Families that give a label: by meaning, keyword, membership, count and comparison; held out, by position."""

from __future__ import annotations

from collections.abc import Callable

from lab import words as W
from lab.document import Item, Source, Task

CLASSIFY = ("classify the text.", "decide which label fits.", "label the text.", "choose the right label.")


def _usable(kind: str, source: Source, held_out_words: bool) -> list[str]:
    """Words that labelling may use: in training never the held-out ones."""
    return [word for word in W.KINDS[kind] if (word in W.HELD_OUT_WORDS) == held_out_words]


_SEEN_WORDS = {kind: [w for w in words if w not in W.HELD_OUT_WORDS] for kind, words in W.KINDS.items()}
_NONSENSE_SHARE = 0.6

PRAISE_FRAMES = (
    "the {n} was {a}",
    "a {a} {n}",
    "what a {a} {n}",
    "the {n} is very {a}",
    "we had a {a} {n}",
    "i found the {n} {a}",
    "this {n} is rather {a}",
    "they said the {n} was {a}",
    "it was a {a} {n} and i told him",
)


def _text_with(source: Source, key: str | list[str], longest: int) -> str:
    """Key words among nonsense: length 1 is the word alone; easy lengths always stay in."""
    keys = [key] if isinstance(key, str) else key
    length = max(len(keys), source.between(1, longest))
    words = keys + [
        source.pick(W.SYLLABLES) if source.chance(_NONSENSE_SHARE) else source.nonsense()
        for _ in range(length - len(keys))
    ]
    if len(words) > 1:
        source.rng.shuffle(words)
    return " ".join(words)


def _by_groups(name: str, source: Source, groups: list[list[str]], longest: int, labels: tuple[str, ...] = ()) -> Task:
    """Labels for groups of words; what each label means only the demonstrations say."""
    labels = labels or source.labels(len(groups))
    several = longest > 2 and source.chance(0.3)

    def make() -> Item:
        which = int(source.rng.random() * len(groups))
        keys = source.rng.sample(groups[which], 2) if several else [source.pick(groups[which])]
        return Item(_text_with(source, keys, longest), labels[which])

    return Task(name, make, CLASSIFY, labels, arbitrary=True)


def _longest(source: Source) -> int:
    """Texts of one word, then up to six: a quarter of the easy lengths is kept."""
    if source.chance(0.3):
        return 1
    return source.between(1, 6)


def seen_pair(source: Source, count: int = 2) -> tuple[str, ...]:
    while True:
        pair = tuple(source.rng.sample(W.SEEN_KINDS, count))
        if not any((min(a, b), max(a, b)) in W.HELD_OUT_PAIRS for a in pair for b in pair):
            return pair


def kinds(source: Source) -> Task:
    count = 2 if source.chance(0.6) else source.between(3, 4)
    chosen = seen_pair(source, count)
    if not source.fresh and source.chance(0.2):
        # Labels that say what they mean: usable without demonstrations.
        task = _by_groups("kinds", source, [_SEEN_WORDS[k] for k in chosen], _longest(source), chosen)
        return Task("kinds named", task.make, ("write the kind of the word.", "what kind of thing is it?"), chosen)
    return _by_groups("kinds", source, [_SEEN_WORDS[k] for k in chosen], _longest(source))


def topic(source: Source) -> Task:
    """Texts made of several words of one kind each."""
    chosen = seen_pair(source, source.between(2, 4))
    labels = source.labels(len(chosen))

    def make() -> Item:
        which = int(source.rng.random() * len(chosen))
        return Item(" ".join(source.rng.sample(_SEEN_WORDS[chosen[which]], source.between(1, 4))), labels[which])

    return Task("topic", make, CLASSIFY, labels, arbitrary=True)


def _attribute(name: str) -> Callable[[Source], Task]:
    def family(source: Source) -> Task:
        nouns = [w for kind in W.NOUN_KINDS if kind not in W.HELD_OUT_KINDS for w in _SEEN_WORDS[kind]]
        values = W.ATTRIBUTES[name]
        groups = [[w for w in nouns if W.MEANING[w][name] == value] for value in values]
        named = not source.fresh and source.chance(0.25)
        task = _by_groups(name, source, groups, min(_longest(source), 4), values if named else ())
        if named:
            return Task(name + " named", task.make, (f"is it {values[0]} or {values[1]}?",), values)
        return task

    return family


def sentiment(source: Source) -> Task:
    labels = ("positive", "negative") if not source.fresh and source.chance(0.3) else source.labels(2)
    groups = (_SEEN_WORDS["praise"], _SEEN_WORDS["blame"])
    nouns = [w for kind in ("dish", "drink", "building", "clothing", "job", "vehicle", "place") for w in W.KINDS[kind]]
    frames = PRAISE_FRAMES[: 2 + source.between(0, len(PRAISE_FRAMES) - 2)]
    named = labels == ("positive", "negative")

    def make() -> Item:
        which = int(source.rng.random() * 2)
        return Item(source.pick(frames).format(n=source.pick(nouns), a=source.pick(groups[which])), labels[which])

    return Task("sentiment", make, ("is the review positive or negative?",) if named else CLASSIFY, labels, not named)


def keyword(source: Source) -> Task:
    """Each label has one or two key words of its own, fresh in every document, among distractors."""
    count, each = source.between(2, 4), source.between(1, 2)
    source.restyle()
    if source.style == "letters":
        source.restyle()
    vocabulary = source.some(count * each)
    groups = [vocabulary[i * each : (i + 1) * each] for i in range(count)]
    labels = source.labels(count)
    longest = source.between(1, 5) if source.chance(0.75) else 1

    def make() -> Item:
        which = int(source.rng.random() * count)
        others = [w for w in source.some(source.between(1, longest)) if w not in vocabulary][: longest - 1]
        words = [source.pick(groups[which]), *others]
        source.rng.shuffle(words)
        return Item(" ".join(words), labels[which])

    return Task("keyword", make, CLASSIFY, labels, arbitrary=True)


def short_keyword(source: Source) -> Task:
    """Few key words in texts of one to three words: the first steps to `keyword`."""
    source.restyle()
    if source.style == "letters":
        source.restyle()
    count = 2 if source.chance(0.6) else 3
    keys = source.some(count)
    labels = source.labels(count)
    longest = source.between(1, 3)

    def make() -> Item:
        which = int(source.rng.random() * count)
        others = [w for w in source.some(source.between(1, longest)) if w not in keys][: longest - 1]
        words = [keys[which], *others]
        source.rng.shuffle(words)
        return Item(" ".join(words), labels[which])

    return Task("short keyword", make, CLASSIFY, labels, arbitrary=True)


def membership(source: Source) -> Task:
    """Is the word in the list that the text shows?"""
    labels = ("yes", "no") if source.chance(0.5) else source.labels(2)
    told = labels == ("yes", "no")
    mark = source.pick((";", ":", " |"))
    first = source.chance(0.3)

    def make() -> Item:
        words = source.text(2, 6)
        inside = source.chance(0.5)
        word = source.pick(words) if inside else source.word()
        inside = word in words
        text = f"{word}{mark} {' '.join(words)}" if first else f"{' '.join(words)}{mark} {word}"
        return Item(text, labels[0 if inside else 1], known=None)

    return Task("membership", make, ("is the word in the list?",) if told else CLASSIFY, labels, not told)


def given_list(source: Source) -> Task:
    """Is the word in the list that the instruction gives?"""
    members = source.some(source.between(3, 6))
    labels = ("yes", "no")

    def make() -> Item:
        word = source.pick(members) if source.chance(0.5) else source.word()
        return Item(word, labels[0 if word in members else 1], known=True)

    listing = " ".join(members)
    return Task("given list", make, (f"list: {listing}. is the word in the list?", f"members: {listing}"), labels)


def count(source: Source) -> Task:
    low = source.between(1, 3)
    high = low + source.between(1, 2)
    labels = source.labels(2)

    def make() -> Item:
        which = source.chance(0.5)
        return Item(" ".join(source.some(high if which else low)), labels[which])

    return Task("count", make, CLASSIFY, labels, arbitrary=True)


def same(source: Source) -> Task:
    labels = ("same", "different") if source.chance(0.4) else source.labels(2)
    told = labels == ("same", "different")

    def make() -> Item:
        a, b = source.some(2)
        which = source.chance(0.5)
        return Item(f"{a} {b if which else a}", labels[which])

    return Task("same", make, ("same or different?",) if told else CLASSIFY, labels, not told)


def repeated(source: Source) -> Task:
    """Does any word come twice?"""
    labels = source.labels(2)

    def make() -> Item:
        words = source.text(3, 5)
        which = source.chance(0.5)
        if which:
            words[-1] = source.pick(words[:-1])
            source.rng.shuffle(words)
        return Item(" ".join(words), labels[which])

    return Task("repeated", make, CLASSIFY, labels, arbitrary=True)


def compare(source: Source) -> Task:
    """Which of two numbers is greater, said by a label or by the number."""
    by_label = source.chance(0.5)
    labels = source.labels(2) if by_label else ()

    def make() -> Item:
        a, b = source.rng.sample(range(10 if source.chance(0.7) else 100), 2)
        if by_label:
            return Item(f"{a} {b}", labels[a > b])
        return Item(f"{a} {b}", str(max(a, b)))

    return Task("compare", make, CLASSIFY if by_label else ("write the greater number.",), labels, by_label)


# ---------------------------------------------------------------- held out


def first_word(source: Source) -> Task:
    """Label by position: which of two kinds of opening, decided by the first word alone."""
    openers = source.some(2)
    labels = source.labels(2)

    def make() -> Item:
        which = source.chance(0.5)
        words = [openers[which], *source.text(2, 4)]
        if source.chance(0.5):  # the other opener may stand later: only the place decides
            words[source.between(1, len(words) - 1)] = openers[not which]
        return Item(" ".join(words), labels[which])

    return Task("first word", make, CLASSIFY, labels, arbitrary=True)


def hidden_list(source: Source) -> Task:
    """Membership in a list that nobody shows: ten words against ten others, each beside a word that tells nothing."""
    pool = source.rng.sample(W.FRESH_NONSENSE, 20)
    members, others = pool[:10], pool[10:]
    labels = source.labels(2)

    def make() -> Item:
        which = source.chance(0.5)
        words = [source.pick(members if which else others), source.pick(W.SYLLABLES)]
        source.rng.shuffle(words)
        return Item(" ".join(words), labels[which])

    return Task("hidden list", make, CLASSIFY, labels, arbitrary=True)


def held_out_pair(source: Source, longest: int = 4) -> Task:
    chosen = source.pick(sorted(W.HELD_OUT_PAIRS))
    return _by_groups("held-out pair", source, [list(W.KINDS[k]) for k in chosen], longest)


def held_out_kinds(source: Source, number: int = 2, longest: int = 4) -> Task:
    chosen = source.rng.sample(W.HELD_OUT_KINDS, number)
    name = "held-out kinds" if number == 2 else "four held-out kinds"
    return _by_groups(name, source, [list(W.KINDS[k]) for k in chosen], longest)


def held_out_words(source: Source, longest: int = 4) -> Task:
    chosen = source.pick(sorted(W.HELD_OUT_PAIRS))
    return _by_groups("held-out words", source, [_usable(k, source, True) for k in chosen], longest)


SEEN = {
    "kinds": kinds,
    "topic": topic,
    "size": _attribute("size"),
    "age": _attribute("age"),
    "mood": _attribute("mood"),
    "sentiment": sentiment,
    "keyword": keyword,
    "membership": membership,
    "given list": given_list,
    "count": count,
    "same": same,
    "repeated": repeated,
    "compare": compare,
}

HELD_OUT = {
    "first word": first_word,
    "hidden list": hidden_list,
    "held-out pair": held_out_pair,
    "held-out kinds": held_out_kinds,
    "four held-out kinds": lambda source: held_out_kinds(source, 4),
    "held-out words": held_out_words,
}
