"""Simple syllogisms: two premises about three groups, and what follows about the two that no premise brings together.

69 items, as in the paper: each a context that names the groups and two premises. A question names the two groups of the
conclusion, and its six options are {all, some, no} in both directions. "Some are not" is left out, as there.

Ours: which syllogisms, a third each of those that conclude "all", "some" and "no"; and the reading of "all" as the
logic books have it, by which it does not say that there are any. "Some" and "no" say the same both ways round, so their
questions have two right options (`Question.also_right`): chance is 1/6 for "all", 1/3 for the others, 5/18 over all.
"""

from __future__ import annotations

from dataclasses import dataclass

from fewfit.suites.generalization.drawing import Key, number_documents, pick, sample, sentence, shuffle
from fewfit.suites.generalization.words import draw_lexicon
from fewfit.suites.generalization.world import Fact, Names, Question, Scale, World


@dataclass(frozen=True)
class Sizes:
    """Each item stands in so many documents: its premises in either order, under another context."""

    items: int
    documents: int


SIZES = {"paper": Sizes(69, 1), "small": Sizes(24, 2)}

QUANTIFIERS = ("all", "some", "no")
# What is said of (first, middle) and of (middle, last), or the other way round, and what follows of (first, last).
FORMS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "all": (("all a b", "all b c", "all a c"),),
    "no": (("all a b", "no b c", "no a c"), ("all a b", "no c b", "no a c")),
    "some": (("some a b", "all b c", "some a c"), ("some b a", "all b c", "some a c")),
}
THREE = (
    "Consider {}, {} and {}.",
    "Here are three groups: {}, {} and {}.",
    "This note is about {}, {} and {}.",
    "Take {}, {} and {}.",
    "Our subject is {}, {} and {}.",
    "What do we know of {}, {} and {}?",
)
TWO = ("Consider {} and {}.", "Take {} and {}.", "Our subject is {} and {}.", "What do we know of {} and {}?")
REWORDED = ("Of {} and {} one may say:", "We were told of {} and {}:", "To sum up how {} and {} are related:")
WORDED_ANEW = {
    "all": "every one of the {} is among the {}.",
    "some": "some of the {} are among the {}.",
    "no": "none of the {} are among the {}.",
}


@dataclass(frozen=True)
class Syllogism:
    first: Fact
    second: Fact
    conclusion: Fact
    groups: tuple[str, str, str]


def build_syllogisms(scale: Scale, *, seed: int, names: Names, sizes: Sizes | None = None) -> World:
    size = sizes or SIZES[scale]
    key: tuple[Key, ...] = (seed, "syllogisms", names)
    lexicon = draw_lexicon(names, *key, animals=3 * size.items)
    documents: list[tuple[str, tuple[Fact, ...]]] = []
    inferences: list[tuple[str, tuple[Fact, ...]]] = []
    questions = []
    for n in range(size.items):
        quantifier = QUANTIFIERS[n % 3]
        form = pick(FORMS[quantifier], *key, "form", n)
        item = make_syllogism(form, lexicon.animals[3 * n : 3 * n + 3])
        contexts = sample(THREE, size.documents, *key, "contexts", n)
        for i, context in enumerate(contexts):
            premises = shuffle([item.first, item.second], *key, "premises", n)
            documents.append(tell(context, item, premises[::-1] if i % 2 else premises, (*key, n, i)))
        questions += [ask_conclusion(item, n, key), ask_premise(item, n, key)]
        inferences += conclude(item, n, key)
    return World(
        "syllogisms",
        scale,
        names,
        seed,
        number_documents("syllogisms", "document", shuffle(documents, *key, "documents")),
        tuple(sorted(questions, key=lambda question: question.split)),
        number_documents("syllogisms", "inference", shuffle(inferences, *key, "inferences")),
    )


def make_syllogism(form: tuple[str, str, str], groups: tuple[str, ...]) -> Syllogism:
    a, b, c = groups
    told = [tuple({"a": a, "b": b, "c": c}.get(part, part) for part in one.split()) for one in form]
    return Syllogism(told[0], told[1], told[2], (a, b, c))


def state(fact: Fact) -> str:
    quantifier, one, other = fact
    return f"{quantifier} {one} are {other}"


def tell(context: str, item: Syllogism, premises: list[Fact], key: tuple[Key, ...]) -> tuple[str, tuple[Fact, ...]]:
    named = shuffle(item.groups, *key, "named")
    text = " ".join([context.format(*named), *(sentence(state(premise)) for premise in premises)])
    return text, tuple(premises)


def turned(fact: Fact) -> Fact | None:
    """The same said the other way round, where that says the same."""
    quantifier, one, other = fact
    return None if quantifier == "all" else (quantifier, other, one)


def ask_conclusion(item: Syllogism, n: int, key: tuple[Key, ...]) -> Question:
    fact = item.conclusion
    options = [(quantifier, one, other) for quantifier in QUANTIFIERS for one, other in (fact[1:], fact[:0:-1])]
    other = turned(fact)
    return Question(
        f"syllogisms-syllogism-{n:03}",
        "syllogism",
        pick(TWO, *key, "two", n).format(*shuffle(fact[1:], *key, "named in question", n)),
        tuple(sentence(state(option)) for option in shuffle(options, *key, "options", n)),
        sentence(state(fact)),
        fact,
        (item.first, item.second),
        (sentence(state(other)),) if other else (),
    )


def ask_premise(item: Syllogism, n: int, key: tuple[Key, ...]) -> Question:
    fact = pick((item.first, item.second), *key, "which premise", n)
    options = [(quantifier, one, other) for quantifier in QUANTIFIERS for one, other in (fact[1:], fact[:0:-1])]
    say = lambda told: WORDED_ANEW[told[0]].format(*told[1:])  # noqa: E731
    other = turned(fact)
    return Question(
        f"syllogisms-rephrasing-{n:03}",
        "rephrasing",
        pick(REWORDED, *key, "reworded", n).format(*shuffle(fact[1:], *key, "named in rephrasing", n)),
        tuple(say(option) for option in shuffle(options, *key, "reworded options", n)),
        say(fact),
        fact,
        (fact,),
        (say(other),) if other else (),
    )


def conclude(item: Syllogism, n: int, key: tuple[Key, ...]) -> list[tuple[str, tuple[Fact, ...]]]:
    """The conclusion with its reasons, and again without, told the other way round where that says the same."""
    fact = item.conclusion
    because = f"since {state(item.first)} and {state(item.second)}, {state(fact)}"
    other = turned(fact) or fact
    named = shuffle(fact[1:], *key, "named in inference", n)
    return [
        (sentence(because), (item.first, item.second, fact)),
        (f"Of {named[0]} and {named[1]} we can tell that {state(other)}.", (other,)),
    ]
