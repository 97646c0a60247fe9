"""Little worlds of facts with their consequences: reversed comparisons, kinds of kinds, several hops, rewordings.

As tasks (a few facts, a question, an answer) and as running text in which consequences follow their facts.
"""

from __future__ import annotations

from collections.abc import Callable

from lab import words as W
from lab.document import CONTEXT, INFERABLE, Item, Part, Source, Task

# (forward, backward): A is `forward` B means B is `backward` A.
RELATIONS = (
    ("taller than", "shorter than"),
    ("older than", "younger than"),
    ("faster than", "slower than"),
    ("heavier than", "lighter than"),
    ("bigger than", "smaller than"),
    ("above", "below"),
    ("before", "after"),
    ("left of", "right of"),
    ("in front of", "behind"),
)
HELD_OUT_RELATIONS = (
    ("richer than", "poorer than"),
    ("stronger than", "weaker than"),
    ("north of", "south of"),
    ("parent of", "child of"),
)


def _relation(source: Source, held_out: bool = False) -> tuple[str, str]:
    pair = source.pick(HELD_OUT_RELATIONS if held_out else RELATIONS)
    return pair if source.chance(0.5) else (pair[1], pair[0])


def _things(source: Source, count: int, names: bool = True) -> list[str]:
    """Names or nonsense; in evaluation always nonsense that is new."""
    if source.fresh:
        return source.rng.sample(W.FRESH_NONSENSE, count)
    r = source.rng.random() if names else 0.5 + 0.5 * source.rng.random()
    return source.rng.sample(W.NAMES if r < 0.4 else W.SYLLABLES if r < 0.7 else W.SEEN_NONSENSE, count)


def _facts(source: Source, most: int, held_out: bool = False) -> list[tuple[str, str, str, str]]:
    """Facts (a, forward, b, backward) about distinct things."""
    number = source.between(1, most)
    things = _things(source, 2 * number)
    out = []
    for a, b in zip(things[::2], things[1::2], strict=True):
        forward, backward = _relation(source, held_out)
        out.append((a, forward, b, backward))
    return out


def _reversal(held_out: bool) -> Callable[[Source], Task]:
    def family(source: Source) -> Task:
        most = source.between(1, 3)
        form = int(source.rng.random() * 4)

        def make() -> Item:
            facts = _facts(source, most, held_out)
            text = " ".join(f"{a} is {f} {b}." for a, f, b, _ in facts)
            a, _, b, backward = source.pick(facts)
            if form == 0:
                return Item(f"{text} {b} is", f"{backward} {a}")
            if form == 1:
                return Item(f"{text} who is {backward} {a}?", b)
            if form == 2:
                return Item(f"{text} {b} and {a}?", f"{b} is {backward} {a}")
            return Item(f"{text} {b} is {backward}", a)

        name = "held-out reversal" if held_out else "reversal"
        return Task(name, make, ("finish the sentence.", "use the facts."))

    return family


def reversal_yes_no(source: Source) -> Task:
    most = source.between(1, 3)

    def make() -> Item:
        facts = _facts(source, most)
        text = " ".join(f"{a} is {f} {b}." for a, f, b, _ in facts)
        a, forward, b, backward = source.pick(facts)
        true = source.chance(0.5)
        turned = source.chance(0.6)
        if turned:
            claim = f"{b} is {backward if true else forward} {a}"
        else:
            claim = f"{a} is {forward if true else backward} {b}"
        return Item(f"{text} {claim}?", "yes" if true else "no")

    return Task("reversal yes or no", make, ("does it follow, yes or no?", "true by the facts?"), ("yes", "no"))


def direct(source: Source) -> Task:
    """Questions that a stated fact answers as it stands."""
    most = source.between(1, 4)

    def make() -> Item:
        facts = _facts(source, most)
        text = " ".join(f"{a} is {f} {b}." for a, f, b, _ in facts)
        a, forward, b, _ = source.pick(facts)
        if source.chance(0.5):
            return Item(f"{text} who is {forward} {b}?", a)
        return Item(f"{text} {a} is", f"{forward} {b}")

    return Task("direct facts", make, ("answer from the facts.",))


def ordering(source: Source) -> Task:
    """Two comparisons in a chain: who is at the end?"""

    def make() -> Item:
        forward, backward = _relation(source)
        a, b, c = _things(source, 3)
        facts = [f"{a} is {forward} {b}.", f"{b} is {forward} {c}."]
        if source.chance(0.4):
            facts[0] = f"{b} is {backward} {a}."
        source.rng.shuffle(facts)
        if source.chance(0.5):
            true = source.chance(0.5)
            return Item(
                f"{' '.join(facts)} {a if true else c} is {forward} {c if true else a}?", "yes" if true else "no"
            )
        return Item(f"{' '.join(facts)} {a} is {forward} {b} and", c)

    return Task("ordering", make, ("use both facts.",))


def syllogism(source: Source) -> Task:
    form = int(source.rng.random() * 3)

    def make() -> Item:
        a, b, c, d, e = _things(source, 5, names=False)
        facts = [f"all {a} are {b}.", f"all {b} are {c}."]
        other = [f"all {d} are {e}."] if source.chance(0.4) else []
        if form == 0:
            true = source.chance(0.5)
            end = c if true else (e if other else d)
            facts += other
            source.rng.shuffle(facts)
            return Item(f"{' '.join(facts)} are all {a} {end}?", "yes" if true else "no")
        if form == 1:
            # The other way round does not follow.
            true = source.chance(0.5)
            claim = (a, c) if true else (c, a)
            return Item(f"{' '.join(facts)} are all {claim[0]} {claim[1]}?", "yes" if true else "no")
        return Item(f"{' '.join(facts)} all {a} are {b} and", c)

    return Task("syllogism", make, ("does it follow?",) if form < 2 else ("finish it.",))


def kind_of(source: Source) -> Task:
    """A thing of a kind has what its kind has."""

    def make() -> Item:
        who, kind, other, value, wrong = _things(source, 5, names=False)
        facts = [f"{who} is a {kind}.", f"every {kind} is {value}.", f"every {other} is {wrong}."]
        source.rng.shuffle(facts)
        if source.chance(0.5):
            return Item(f"{' '.join(facts)} what is {who}?", value)
        true = source.chance(0.5)
        return Item(f"{' '.join(facts)} is {who} {value if true else wrong}?", "yes" if true else "no")

    return Task("kind of", make, ("use the facts.",))


def places(source: Source) -> Task:
    """Things in things: one hop or two."""
    hops = 1 if source.chance(0.4) else 2

    def make() -> Item:
        number = source.between(1, 2)
        words = source.rng.sample(W.KINDS["fruit"] + W.KINDS["tool"] + W.KINDS["clothing"], number)
        inner = source.rng.sample(W.KINDS["furniture"], number)
        outer = source.rng.sample(W.KINDS["building"], number)
        facts = [f"the {w} is in the {i}." for w, i in zip(words, inner, strict=True)]
        facts += [f"the {i} is in the {o}." for i, o in zip(inner, outer, strict=True)]
        source.rng.shuffle(facts)
        which = int(source.rng.random() * number)
        answer = (inner if hops == 1 else outer)[which]
        ask = "what" if hops == 1 else "which building"
        return Item(f"{' '.join(facts)} in {ask} is the {words[which]}?", answer)

    return Task("places", make, ("where is it?", "answer from the facts."))


REWORDINGS = (
    ("{a} gave {b} the {t}", "{b} got the {t} from {a}"),
    ("{a} owns the {t}", "the {t} belongs to {a}"),
    ("{a} likes {b}", "{b} is liked by {a}"),
    ("{a} found the {t}", "the {t} was found by {a}"),
    ("{a} saw {b}", "{b} was seen by {a}"),
    ("{a} met {b}", "{b} was met by {a}"),
)


def reword(source: Source) -> Task:
    one, other = source.pick(REWORDINGS)
    if source.chance(0.4):
        one, other = other, one

    def make() -> Item:
        a, b = _things(source, 2)
        thing = source.pick(W.KINDS["tool"] + W.KINDS["fruit"])
        values = {"a": a, "b": b, "t": thing}
        return Item(one.format(**values), other.format(**values))

    return Task("reword", make, ("say it in other words.",))


# ---------------------------------------------------------------- running text


def consequences(source: Source, budget: int) -> list[Part]:
    """Facts, each followed sooner or later by what follows from it."""
    parts: list[Part] = []
    waiting: list[tuple[str, str]] = []
    used = 0
    lead = source.pick(("so ", "then ", "", "this means "))
    gap = source.between(1, 3)
    while used < budget:
        if len(waiting) >= gap:
            known, told = waiting.pop(int(source.rng.random() * len(waiting)))
            parts.append((f"{lead}{known}", CONTEXT))
            parts.append((f" {told}.\n", INFERABLE))
        a, b = _things(source, 2)
        forward, backward = _relation(source)
        parts.append((f"{a} is {forward} {b}.\n", CONTEXT))
        waiting.append((f"{b} is", f"{backward} {a}"))
        used += 16
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


def relation_words(source: Source, budget: int) -> list[Part]:
    """Which word is the reverse of which."""
    parts: list[Part] = []
    used = 0
    while used < budget:
        forward, backward = _relation(source)
        parts.append((f"the opposite of {forward} is", CONTEXT))
        parts.append((f" {backward}.\n", INFERABLE))
        used += 9
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


SEEN = {
    "reversal": _reversal(False),
    "reversal yes or no": reversal_yes_no,
    "ordering": ordering,
    "reword": reword,
    "direct facts": direct,
    "syllogism": syllogism,
    "kind of": kind_of,
    "places": places,
}
HELD_OUT = {"held-out reversal": _reversal(True)}
TEXTS = {"consequences": consequences, "relation words": relation_words}
