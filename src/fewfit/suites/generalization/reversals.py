"""Simple reversals: comparisons of two things that nothing else is told about, asked for from the other side.

100 facts over 28 dimensions, ten one-sentence articles each, as in the paper. Half of a dimension's facts are stated by
the one comparative and half by its opposite, so both are learnt; which 28 dimensions, and the lead-ins, are ours.

A question's wrong option shares more words with the documents than the right one, and that is the point: whoever goes
by association is wrong every time. How reversals fare inside a larger structure, `structure.py` asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from fewfit.suites.generalization.drawing import number_documents, pick, sample, sentence, shuffle
from fewfit.suites.generalization.words import draw_lexicon
from fewfit.suites.generalization.world import Fact, Names, Question, Scale, World


@dataclass(frozen=True)
class Sizes:
    comparisons: int
    dimensions: int
    articles: int
    inferences: int


SIZES = {"paper": Sizes(100, 28, 10, 10), "small": Sizes(24, 12, 3, 4)}

# Comparative and plain form of the one end, then of the other.
DIMENSIONS: tuple[tuple[str, str, str, str], ...] = (
    ("brighter", "bright", "dimmer", "dim"),
    ("heavier", "heavy", "lighter", "light"),
    ("taller", "tall", "shorter", "short"),
    ("faster", "fast", "slower", "slow"),
    ("louder", "loud", "quieter", "quiet"),
    ("older", "old", "younger", "young"),
    ("warmer", "warm", "cooler", "cool"),
    ("harder", "hard", "softer", "soft"),
    ("wetter", "wet", "drier", "dry"),
    ("stronger", "strong", "weaker", "weak"),
    ("rougher", "rough", "smoother", "smooth"),
    ("cleaner", "clean", "dirtier", "dirty"),
    ("deeper", "deep", "shallower", "shallow"),
    ("wider", "wide", "narrower", "narrow"),
    ("thicker", "thick", "thinner", "thin"),
    ("sharper", "sharp", "blunter", "blunt"),
    ("costlier", "costly", "cheaper", "cheap"),
    ("rarer", "rare", "commoner", "common"),
    ("braver", "brave", "shyer", "shy"),
    ("kinder", "kind", "crueller", "cruel"),
    ("happier", "happy", "sadder", "sad"),
    ("calmer", "calm", "wilder", "wild"),
    ("larger", "large", "smaller", "small"),
    ("richer", "rich", "poorer", "poor"),
    ("tighter", "tight", "looser", "loose"),
    ("safer", "safe", "riskier", "risky"),
    ("fresher", "fresh", "staler", "stale"),
    ("simpler", "simple", "trickier", "tricky"),
)

LEADS = (
    "Did you know that {}?",
    "It is a fact that {}.",
    "Most people agree that {}.",
    "Travellers report that {}.",
    "As a rule, {}.",
    "According to the almanac, {}.",
    "Records show that {}.",
    "My uncle always said that {}.",
    "It is often said that {}.",
    "Children soon learn that {}.",
    "Experts have found that {}.",
    "Everyone here knows that {}.",
    "Please remember that {}.",
    "A recent study found that {}.",
    "Few people realise that {}.",
    "Believe it or not, {}.",
    "In general, {}.",
    "To nobody's surprise, {}.",
    "The guide explains that {}.",
    "Note that {}.",
)
REVERSED = ("It follows that {} are", "This means that {} are", "So we can say that {} are")
REWORDED = (
    "When the two are compared, {} turn out to be",
    "Put to the test, {} prove to be",
    "If asked, say that {} seem",
)


@dataclass(frozen=True)
class Comparison:
    """`one` are `more` than `other`, and `other` are `less` than `one`."""

    one: str
    other: str
    more: str
    less: str
    more_plain: str

    @property
    def fact(self) -> Fact:
        return (self.more, self.one, self.other)

    @property
    def reversed(self) -> Fact:
        return (self.less, self.other, self.one)


def build_reversals(scale: Scale, *, seed: int, names: Names, sizes: Sizes | None = None) -> World:
    size = sizes or SIZES[scale]
    key = (seed, "reversals", names)
    # Half of a plausible world's things are animals and half objects; who is compared with whom is drawn.
    lexicon = draw_lexicon(names, *key, animals=size.comparisons, objects=size.comparisons)
    things = shuffle(lexicon.animals + lexicon.objects, *key, "pairs")
    dimensions = sample(DIMENSIONS, size.dimensions, *key, "dimensions")
    documents, questions, inferences = [], [], []
    for n in range(size.comparisons):
        comparison = compare(things[2 * n], things[2 * n + 1], dimensions[n % len(dimensions)], n // len(dimensions))
        stated = f"{comparison.one} are {comparison.more} than {comparison.other}"
        for lead in sample(LEADS, size.articles, *key, "leads", n):
            documents.append((sentence(lead.format(stated)), (comparison.fact,)))
        questions += ask(comparison, n, key)
        followed = consequences(comparison)
        for i, lead in enumerate(sample(LEADS, size.inferences, *key, "inferred leads", n)):
            text, fact = followed[i % len(followed)]
            inferences.append((sentence(lead.format(text)), (fact,)))
    return World(
        "reversals",
        scale,
        names,
        seed,
        number_documents("reversals", "document", shuffle(documents, *key, "documents")),
        tuple(sorted(questions, key=lambda question: question.split)),
        number_documents("reversals", "inference", shuffle(inferences, *key, "inferences")),
    )


def compare(one: str, other: str, dimension: tuple[str, str, str, str], turn: int) -> Comparison:
    more, more_plain, less, _ = dimension if turn % 2 == 0 else dimension[2:] + dimension[:2]
    return Comparison(one, other, more, less, more_plain)


def ask(comparison: Comparison, n: int, key: tuple[int | str, ...]) -> list[Question]:
    one, other, more, less = comparison.one, comparison.other, comparison.more, comparison.less
    return [
        Question(
            f"reversals-rephrasing-{n:03}",
            "rephrasing",
            pick(REWORDED, *key, "reworded", n).format(one),
            tuple(shuffle([f"{more} than {other}.", f"{less} than {other}."], *key, "reworded options", n)),
            f"{more} than {other}.",
            comparison.fact,
            (comparison.fact,),
        ),
        Question(
            f"reversals-reversal-{n:03}",
            "reversal",
            pick(REVERSED, *key, "reversed", n).format(other),
            tuple(shuffle([f"{more} than {one}.", f"{less} than {one}."], *key, "reversed options", n)),
            f"{less} than {one}.",
            comparison.reversed,
            (comparison.fact,),
        ),
    ]


def consequences(comparison: Comparison) -> list[tuple[str, Fact]]:
    """What follows: the reversal, in three wordings."""
    one, other = comparison.one, comparison.other
    return [
        (f"{other} are {comparison.less} than {one}", comparison.reversed),
        (f"{other} are less {comparison.more_plain} than {one}", comparison.reversed),
        (f"compared with {one}, {other} are {comparison.less}", comparison.reversed),
    ]
