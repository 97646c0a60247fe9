"""Families that need a step of thought: counting, sums, true and false, walking, swapping; held out, four others."""

from __future__ import annotations

from itertools import pairwise

from lab import words as W
from lab.document import Item, Source, Task


def count_words(source: Source) -> Task:
    def make() -> Item:
        words = source.text(1, 7)
        return Item(" ".join(words), str(len(words)))

    return Task("count words", make, ("how many words are there?", "count the words."))


def count_one(source: Source) -> Task:
    """How often does one word come?"""
    target, *others = source.some(4)

    def make() -> Item:
        times = source.between(0, 5)
        words = [target] * times + [source.pick(others) for _ in range(source.between(1, 4))]
        source.rng.shuffle(words)
        return Item(" ".join(words), str(times))

    return Task("count one", make, (f"how many times is {target} there?", f"count the word {target}."))


def count_kind(source: Source) -> Task:
    """How many things of one kind are there?"""
    kind = source.pick([k for k in W.NOUN_KINDS if k not in W.HELD_OUT_KINDS])
    words = [w for w in W.KINDS[kind] if w not in W.HELD_OUT_WORDS]

    def make() -> Item:
        many = source.between(0, 4)
        things = source.rng.sample(words, many)
        while len(things) < many + source.between(1, 3):
            other = source.pick(W.KINDS[source.pick(W.NOUN_KINDS)])
            if other not in things and W.LEXICON[other] != kind:
                things.append(other)
        source.rng.shuffle(things)
        return Item(" ".join(things), str(many))

    return Task("count kind", make, (f"how many are a kind of {kind}?", f"count the {kind} words."))


def sums(source: Source) -> Task:
    top = 9 if source.chance(0.6) else 20
    minus = source.chance(0.3)
    end = " =" if source.chance(0.5) else ""

    def make() -> Item:
        a, b = int(source.rng.random() * (top + 1)), int(source.rng.random() * (top + 1))
        if minus:
            a, b = max(a, b), min(a, b)
        return Item(f"{a} {'-' if minus else '+'} {b}{end}", str(a - b if minus else a + b))

    return Task("sums", make, ("write the result.", "what is the total?" if not minus else "what is left?"))


def boolean(source: Source) -> Task:
    yes, no = ("True", "False") if source.chance(0.7) else ("true", "false")
    longest = source.between(1, 3)

    def make() -> Item:
        words, value, first = [], False, True
        for _ in range(source.between(1, longest)):
            term, negated = source.chance(0.5), source.chance(0.35)
            if not first:
                operator = source.pick(("and", "or"))
                words.append(operator)
            words.append(("not " if negated else "") + (yes if term else no))
            term = term != negated
            value = term if first else (value and term) if operator == "and" else (value or term)
            first = False
        return Item(" ".join(words), yes if value else no)

    return Task("boolean", make, ("true or false, step by step from left to right.",), (yes, no))


def facing(source: Source) -> Task:
    """Turning left and right: which way does one face at the end?"""
    ring = ("north", "east", "south", "west")

    def make() -> Item:
        at = int(source.rng.random() * 4)
        words = [f"face {ring[at]}"]
        for _ in range(source.between(1, 3)):
            turn = source.pick(("left", "right", "back"))
            words.append(f"turn {turn}")
            at = (at + {"left": 3, "right": 1, "back": 2}[turn]) % 4
        return Item(", ".join(words), ring[at])

    return Task("facing", make, ("which way do you face at the end?",), ring)


def walk(source: Source) -> Task:
    """Steps left and right: does the walk end where it began?"""
    places = source.chance(0.5)

    def make() -> Item:
        at, words = 0, []
        for _ in range(source.between(1, 3)):
            steps, left = source.between(1, 4), source.chance(0.5)
            at += -steps if left else steps
            words.append(f"{steps} {'left' if left else 'right'}")
        if source.chance(0.4) and at:
            words.append(f"{abs(at)} {'left' if at > 0 else 'right'}")
            at = 0
        if places:
            return Item(", ".join(words), f"{abs(at)} {'left' if at < 0 else 'right'}" if at else "0")
        return Item(", ".join(words), "no" if at else "yes")

    if places:
        return Task("walk place", make, ("where are you at the end?",))
    return Task("walk", make, ("are you back at the start?",), ("yes", "no"))


def shuffled(source: Source) -> Task:
    """People hold things and trade; who holds what at the end?"""

    def make() -> Item:
        people = source.rng.sample(W.NAMES, source.between(2, 3))
        things = source.rng.sample(W.KINDS["fruit"] + W.KINDS["tool"], len(people))
        holds = dict(zip(people, things, strict=True))
        text = [f"{p} has {t}." for p, t in holds.items()]
        for _ in range(source.between(1, 2)):
            a, b = source.rng.sample(people, 2)
            holds[a], holds[b] = holds[b], holds[a]
            text.append(f"{a} and {b} swap.")
        who = source.pick(people)
        return Item(f"{' '.join(text)} what has {who}?", holds[who])

    return Task("shuffled", make, ("answer the question.",))


def parity(source: Source) -> Task:
    def make() -> Item:
        number = int(source.rng.random() * (10 if source.chance(0.4) else 100))
        return Item(str(number), ("even", "odd")[number % 2])

    return Task("even or odd", make, ("even or odd?",), ("even", "odd"))


# ---------------------------------------------------------------- held out


def dyck(source: Source) -> Task:
    """Close what is open."""
    pairs = {"(": ")", "[": "]", "{": "}"}

    def make() -> Item:
        text: list[str] = []
        stack: list[str] = []
        while len(text) < 6 or not stack:
            if stack and source.chance(0.4):
                text.append(pairs[stack.pop()])
            else:
                stack.append(source.pick(tuple(pairs)))
                text.append(stack[-1])
            if len(text) > 8 and stack:
                break
        return Item(" ".join(text), " ".join(pairs[b] for b in reversed(stack)))

    return Task("dyck", make, ("close the open brackets.",))


def web_of_lies(source: Source) -> Task:
    def make() -> Item:
        people = source.rng.sample(W.NAMES, source.between(2, 3))
        honest = source.chance(0.5)
        text = [f"{people[0]} {'tells the truth' if honest else 'lies'}."]
        for before, now in pairwise(people):
            claim = source.chance(0.5)
            text.append(f"{now} says {before} {'tells the truth' if claim else 'lies'}.")
            honest = claim == honest
        return Item(f"{' '.join(text)} does {people[-1]} tell the truth?", "yes" if honest else "no")

    return Task("web of lies", make, ("who tells the truth?",), ("yes", "no"))


def weekday(source: Source) -> Task:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    shift = source.pick((1, 2, 3, -1, -2))

    def make() -> Item:
        at = int(source.rng.random() * 7)
        return Item(
            f"{source.pick(W.NAMES)} saw a {source.pick(W.KINDS['animal'])} on {days[at]}.", days[(at + shift) % 7]
        )

    return Task("weekday", make, ("which day will it be then?",), days)


def odd_one_out(source: Source) -> Task:
    def make() -> Item:
        common, other = source.rng.sample(W.NOUN_KINDS, 2)
        words = [*source.rng.sample(W.KINDS[common], 3), source.pick(W.KINDS[other])]
        odd = words[-1]
        source.rng.shuffle(words)
        return Item(" ".join(words), odd)

    return Task("odd one out", make, ("which word is odd?",))


SEEN = {
    "count words": count_words,
    "count one": count_one,
    "count kind": count_kind,
    "sums": sums,
    "boolean": boolean,
    "facing": facing,
    "walk": walk,
    "shuffled": shuffled,
    "even or odd": parity,
}

HELD_OUT = {"dyck": dyck, "web of lies": web_of_lies, "weekday": weekday, "odd one out": odd_one_out}
