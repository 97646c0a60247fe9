"""The semantic structure benchmark: what follows from a hierarchy told in pieces, asked for in five ways.

rephrasing   a fact of the documents, in words that no document uses (were they learnt?)
reversal     x are a type of y -> y include x; x chase y -> y are chased by x
syllogism    x are a type of y, and y have p -> x have p
chain        the same over two and more steps
holdout      whatever follows for a category of which the documents tell nothing but its parent

110 categories with 1 to 6 properties of their own, 2,200 documents of 4 to 20 sentences, as in the paper. Ours: four
levels of 2, 8, 25 and 75; 80 relations over 8 verbs; four options. So that both directions and inheritance itself can
be learnt, a quarter of the edges and relations are told from both sides, and every property above the lowest level is
told of one category below it, too; what is asked for is never told. Wrong options are what truly stands in that
relation to another category, and documents name them about as often as the right one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from fewfit.draw import unit
from fewfit.suites.generalization.articles import Manner, kind_of, past, write
from fewfit.suites.generalization.drawing import Key, number_documents, sample, shuffle
from fewfit.suites.generalization.taxonomy import (
    PROPERTIES,
    Shape,
    Taxonomy,
    all_truths,
    inherited,
    make_taxonomy,
    reverse,
)
from fewfit.suites.generalization.world import Fact, Names, Question, Scale, World

# A fact, and the told facts that it follows from.
Derived = tuple[Fact, tuple[Fact, ...]]


@dataclass(frozen=True)
class Sizes:
    """`questions` for each split at most. `told_too` is the share of reversals that are told; `heirs`, of how many on
    the lowest level what is inherited is told."""

    shape: Shape
    documents: int
    manner: Manner
    questions: int
    inferences: int
    told_too: float = 0.25
    heirs: int = 1
    options: int = 4


SIZES = {
    "paper": Sizes(Shape((2, 8, 25, 75), 12, (1, 6), (1, 6), 80, 8), 2200, Manner((4, 18), 8, 5, True), 200, 2200),
    "small": Sizes(Shape((2, 4, 18), 4, (2, 2), (1, 1), 16, 2), 72, Manner((2, 4), 0, 0, False), 36, 72),
}

INFERRED = ("reversal", "syllogism", "chain", "holdout")
# Beginnings of sentences that the options end. {x} is the subject, {v} and {ved} the verb.
FOLLOWS = {
    "is a": "It follows that {x} are a type of",
    "includes": "It follows that {x} include",
    "is": "It follows that {x} are",
    "has": "It follows that {x} have",
    "can": "It follows that {x} can",
    "verb": "It follows that {x} {v}",
    "by": "It follows that {x} are {ved} by",
}
REWORDED = {
    "is a": "Whoever sorts things by kind will put {x} with the",
    "is": "A good word to describe {x} would be",
    "has": "Look closely at {x} and you will find",
    "can": "Watch {x} for a while and you will see them",
    "verb": "Given the chance, {x} will surely {v}",
}


def build_structure(scale: Scale, *, seed: int, names: Names, sizes: Sizes | None = None) -> World:
    size = sizes or SIZES[scale]
    key: tuple[Key, ...] = (seed, "structure", names)
    taxonomy = make_taxonomy(size.shape, names, *key)
    truths = all_truths(taxonomy)
    asked, told = choose(taxonomy, size, key)
    questions = []
    for split, found in asked.items():
        # Options are as many everywhere; what has too few wrong ones is not asked.
        wrong = {fact: distract(fact, path[-1], taxonomy, truths, key)[: size.options - 1] for fact, path in found}
        fit = [(fact, path) for fact, path in found if len(wrong[fact]) == size.options - 1]
        for n, (fact, path) in enumerate(spread(fit, size.questions, (*key, split))):
            questions.append(make_question(split, n, fact, path, wrong[fact], key))
    # Sorted, as the order of a set changes from one process to the next.
    untold = sorted(fact for fact in truths - set(told) if fact[0] not in ("includes", "by"))
    untold += sorted({question.fact for question in questions} - set(told) - set(untold))
    # What nobody inherits is told of its owner only, and so twice as often.
    often = {fact for fact in taxonomy.base if fact[0] in PROPERTIES and fact[1] in taxonomy.levels[-1]}
    documents = write(by_subject(told), size.documents, size.manner, *key, "documents", often=often)
    inferences = write(by_subject(untold), size.inferences, size.manner, *key, "inferences")
    return World(
        "structure",
        scale,
        names,
        seed,
        number_documents("structure", "document", documents),
        tuple(questions),
        number_documents("structure", "inference", inferences),
    )


def by_subject(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    out: dict[str, list[Fact]] = {}
    for fact in facts:
        out.setdefault(fact[-2], []).append(fact)
    return out


def choose(taxonomy: Taxonomy, size: Sizes, key: tuple[Key, ...]) -> tuple[dict[str, list[Derived]], list[Fact]]:
    """What is asked for in each split, with what it follows from; and what the documents tell."""
    told_too = lambda fact: unit(*key, "told too", *fact) < size.told_too  # noqa: E731
    told = list(taxonomy.base)
    found: dict[str, list[Derived]] = {
        "rephrasing": [(fact, (fact,)) for fact in taxonomy.base],
        "reversal": [],
        "syllogism": [],
        "chain": [],
        "holdout": [],
    }
    for fact in taxonomy.base:
        back = reverse(fact)
        if back is None:
            continue
        if fact[1] in taxonomy.held_out:
            found["holdout"].append((back, (fact,)))
        elif told_too(back):
            told.append(back)
        else:
            found["reversal"].append((back, (fact,)))
    chosen = choose_heirs(taxonomy, size.heirs, key)
    for category in taxonomy.categories:
        for fact, steps in inherited(taxonomy, category):
            source = source_of(taxonomy, fact, steps)
            made_from = (*steps_up(taxonomy, category, steps), source)
            if category in taxonomy.held_out:
                found["holdout"].append((fact, made_from))
            elif category in chosen.get(source, ()):
                told.append(fact)
            else:
                found["syllogism" if steps == 1 else "chain"].append((fact, made_from))
    # A category may have by itself what it also inherits, or inherit it from two above it.
    known = set(told)
    nearest: dict[Fact, int] = {}
    for fact, path in (one for split in INFERRED for one in found[split]):
        nearest[fact] = min(len(path), nearest.get(fact, len(path)))
    for split in INFERRED:
        some = {one[0]: one for one in found[split] if one[0] not in known and len(one[1]) == nearest[one[0]]}
        found[split] = list(some.values())
    return found, told


def choose_heirs(taxonomy: Taxonomy, count: int, key: tuple[Key, ...]) -> dict[Fact, list[str]]:
    """Of whom what is inherited is told, too: of as many for each property. They are on the lowest level, and kinds are
    left out, as both would make shorter ways for other inferences."""
    heirs: dict[Fact, list[str]] = {}
    for category in taxonomy.levels[-1]:
        if category not in taxonomy.held_out:
            for fact, steps in inherited(taxonomy, category):
                if fact[0] != "is a":
                    heirs.setdefault(source_of(taxonomy, fact, steps), []).append(category)
    return {fact: sample(ones, min(count, len(ones)), *key, "heirs", *fact) for fact, ones in heirs.items()}


def source_of(taxonomy: Taxonomy, fact: Fact, steps: int) -> Fact:
    """What the category inherits, as it is told of the one that has it."""
    return (fact[0], taxonomy.above(fact[1])[steps - 1], fact[2])


def steps_up(taxonomy: Taxonomy, category: str, steps: int) -> tuple[Fact, ...]:
    line = [category, *taxonomy.above(category)][: steps + 1]
    return tuple(("is a", one, other) for one, other in pairwise(line))


def spread(facts: list[Derived], count: int, key: tuple[Key, ...]) -> list[Derived]:
    """So many of the facts, their kinds in turn while there are any of each."""
    kinds: dict[str, list[Derived]] = {}
    for fact in shuffle(facts, *key, "spread"):
        kinds.setdefault(kind_of(fact[0]), []).append(fact)
    out: list[Derived] = []
    while len(out) < count and any(kinds.values()):
        for kind in sorted(kinds):
            if kinds[kind] and len(out) < count:
                out.append(kinds[kind].pop())
    return out


def make_question(
    split: str, n: int, fact: Fact, made_from: tuple[Fact, ...], wrong: list[str], key: tuple[Key, ...]
) -> Question:
    verb = fact[1] if fact[0] == "by" else fact[0]
    wording = (REWORDED if split == "rephrasing" else FOLLOWS)[kind_of(fact)]
    return Question(
        f"structure-{split}-{n:03}",
        split,
        wording.format(x=fact[-2], v=verb, ved=past(verb)),
        tuple(f"{one}." for one in shuffle([fact[-1], *wrong], *key, "options", split, n)),
        f"{fact[-1]}.",
        fact,
        made_from,
    )


def distract(fact: Fact, source: Fact, taxonomy: Taxonomy, truths: frozenset[Fact], key: tuple[Key, ...]) -> list[str]:
    """What stands in the fact's relation to others and not to its subject, likeliest first: what is told in the same
    relation of categories on the same level as the source of the answer, and held out if that one is, so that the
    documents name the options about as often."""
    # Of "includes" and "by" the answers are what the told facts are about, else what is said of it.
    at = 1 if fact[0] in ("includes", "by") else 2
    about = source[1]

    def unlike(told: Fact) -> tuple[int, bool]:
        level = abs(taxonomy.level(told[1]) - taxonomy.level(about))
        return level, (told[1] in taxonomy.held_out) != (about in taxonomy.held_out)

    told = shuffle([one for one in taxonomy.base if one[0] == source[0]], *key, "distract", *fact)
    values = dict.fromkeys(one[at] for one in sorted(told, key=unlike))
    return [
        value
        for value in values
        if (*fact[:-1], value) not in truths and not any(kin(value, one, taxonomy) for one in fact[-2:])
    ]


def kin(one: str, other: str, taxonomy: Taxonomy) -> bool:
    """Whether they are one or the one stands above the other. Of what chases some kinds of y, nobody can say that it
    does not chase y."""
    if one not in taxonomy.depth or other not in taxonomy.depth:
        return False
    return one == other or one in taxonomy.above(other) or other in taxonomy.above(one)
