"""Knowledge of a process: a made-up operation on terms, told by its rules and by worked examples.

The operation has a rule for each way to build a term (`terms.py`). Examples put one builder inside another; some pairs
are shown in examples, others never, and those are what `combination` asks for.

rephrasing    an example of the documents, in words that no document uses
instance      new terms of pairs that examples show
combination   terms of pairs that no example shows; the rules for both are told, and shown in other pairs

The paper gives no rules, no numbers and no form of question, so all of it is ours. Rules are stated in the documents,
since what follows from examples alone could not be proved. Wrong options are results under wrong rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from fewfit.suites.generalization.drawing import Key, number_documents, pick, sample, shuffle
from fewfit.suites.generalization.terms import RULES, UNARY, Operation, Term, build, settle, write_term
from fewfit.suites.generalization.words import draw_lexicon
from fewfit.suites.generalization.world import Fact, Names, Question, Scale, World


@dataclass(frozen=True)
class Sizes:
    """`held` of the builders inside each builder are held out. Examples and questions are for each pair of builders;
    `stated` is how often each rule and each basic word is told."""

    basic: int
    builders: tuple[str, ...]
    held: int
    examples: int
    stated: int
    rephrasings: int
    instances: int
    combinations: int
    options: int = 4


SIZES = {
    "paper": Sizes(12, ("+", "*", "@", "-", "^"), 2, 20, 10, 8, 8, 12),
    "small": Sizes(6, ("+", "*", "@", "-"), 1, 3, 3, 3, 3, 8),
}

OPERATIONS = ("braid", "echo", "fold", "mirror", "stamp", "twist")
BUILDERS = {"+": "sums", "*": "products", "@": "chains", "-": "negatives", "^": "squares"}
TELL_RULE = (
    "The rule for {kind}: {left} = {right}.",
    "For {kind} we have {left} = {right}.",
    "Whatever f and g are, {left} = {right}.",
    "Always remember that {left} = {right}.",
)
TELL_RESULT = (
    "{left} = {right}.",
    "The {name} of {term} is {right}.",
    "If you {name} {term}, you get {right}.",
    "Q: What is the {name} of {term}?\nA: {left} = {right}.",
)
ASK = "The {name} of {term} is"
ASK_ANEW = ("Apply {name} to {term}, and what comes out is", "{term}, once it has gone through {name}, turns into")


def build_processes(scale: Scale, *, seed: int, names: Names, sizes: Sizes | None = None) -> World:
    size = sizes or SIZES[scale]
    key: tuple[Key, ...] = (seed, "processes", names)
    operation = make_operation(size, names, key)
    shown, held = split_pairs(size.builders, size.held, key)
    examples, fresh = [], []
    for pair in shown:
        terms = make_terms(pair, operation, key)
        # One minus inside another leaves few terms: half of them at most are for the documents.
        count = min(size.examples, len(terms) // 2)
        examples += terms[:count]
        fresh += terms[count:][: size.instances]
    combined = [term for pair in held for term in make_terms(pair, operation, key)[: size.combinations]]
    known = shuffle(examples, *key, "rephrased")[: size.rephrasings * len(shown)]
    told = [tell_rule(operation, builder, n, key) for builder in size.builders for n in range(size.stated)]
    told += [tell(word, operation, n, key) for word in operation.basic for n in range(size.stated)]
    told += [tell(term, operation, n, key) for n, term in enumerate(examples)]
    questions = [
        ask(split, n, term, operation, size, key)
        for split, terms in (("rephrasing", known), ("instance", fresh), ("combination", combined))
        for n, term in enumerate(terms)
    ]
    # Told in the documents' words, but for the one that is the question's own.
    inferences = [
        tell(term, operation, n, key, TELL_RESULT[:1] + TELL_RESULT[2:]) for n, term in enumerate(fresh + combined)
    ]
    return World(
        "processes",
        scale,
        names,
        seed,
        number_documents("processes", "document", shuffle(told, *key, "documents")),
        tuple(questions),
        number_documents("processes", "inference", shuffle(inferences, *key, "inferences")),
    )


def make_operation(size: Sizes, names: Names, key: tuple[Key, ...]) -> Operation:
    lexicon = draw_lexicon(names, *key, objects=size.basic, verbs=1)
    name = lexicon.verbs[0] if names == "nonsense" else pick(OPERATIONS, *key, "operation")
    # Each word becomes the next on a round, so none stays as it is and no two become the same.
    words = lexicon.objects
    basic = dict(zip(words, words[1:] + words[:1]))
    return Operation(name, basic, {one: pick(RULES[one][1:], *key, "rule", one) for one in size.builders})


def split_pairs(
    builders: tuple[str, ...], held: int, key: tuple[Key, ...]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(outer, inner) pairs that are shown, and those held out: as many for each outer and each inner builder."""
    count = len(builders)
    away = sample(range(count), held, *key, "held out")
    pairs = [(i, j) for i in range(count) for j in range(count)]
    named = lambda chosen: [(builders[i], builders[j]) for i, j in chosen]  # noqa: E731
    out = [(i, j) for i, j in pairs if (j - i) % count in away]
    return named(pair for pair in pairs if pair not in out), named(out)


def make_terms(pair: tuple[str, str], operation: Operation, key: tuple[Key, ...]) -> list[Term]:
    """All terms of one builder inside another, no word twice in one; in an order drawn. The inner one stands only where
    the outer rule applies the operation: elsewhere its own rule would not matter."""
    outer, inner = pair
    rule = operation.rules[outer]
    found = []
    for a, b, c in permutations(operation.basic, 3):
        within = build(inner, a, b)
        if ("D", "f") in rule:
            found.append(build(outer, within, c))
        if ("D", "g") in rule:
            found.append(build(outer, c, within))
    return shuffle(list(dict.fromkeys(found)), *key, "terms", *pair)


def tell_rule(operation: Operation, builder: str, n: int, key: tuple[Key, ...]) -> tuple[str, tuple[Fact, ...]]:
    left = write_term(("D", build(builder, "f", "g")), operation.name)
    right = write_term(operation.rules[builder], operation.name)
    wordings = [one for one in TELL_RULE if builder not in UNARY or "f and g" not in one]
    wording = shuffle(wordings, *key, "rule wordings", builder)[n % len(wordings)]
    return wording.format(kind=BUILDERS[builder], left=left, right=right), (("rule", left, right),)


def tell(
    term: Term, operation: Operation, n: int, key: tuple[Key, ...], wordings: tuple[str, ...] = TELL_RESULT
) -> tuple[str, tuple[Fact, ...]]:
    said = state(term, operation)
    wording = pick(wordings, *key, "wording", said[1], n)
    left = write_term(("D", term), operation.name)
    return wording.format(left=left, right=said[2], name=operation.name, term=bracket(term)), (said,)


def state(term: Term, operation: Operation) -> Fact:
    return (operation.name, write_term(term), write_term(operation.apply(term)))


def bracket(term: Term) -> str:
    return write_term(term, inside=True)


def ask(split: str, n: int, term: Term, operation: Operation, size: Sizes, key: tuple[Key, ...]) -> Question:
    wording = pick(ASK_ANEW, *key, "asked", n) if split == "rephrasing" else ASK
    fact = state(term, operation)
    wrong = mistakes(term, operation, size.builders, (*key, "mistakes", split, n))[: size.options - 1]
    rules = tuple(tell_rule(operation, builder, 0, key)[1][0] for builder in dict.fromkeys(builders_of(term)))
    basic = tuple(state(word, operation) for word in words_of(term))
    return Question(
        f"processes-{split}-{n:03}",
        split,
        wording.format(name=operation.name, term=bracket(term)),
        tuple(f"{one}." for one in shuffle([fact[2], *wrong], *key, "options", split, n)),
        f"{fact[2]}.",
        fact,
        (fact,) if split == "rephrasing" else rules + basic,
    )


def mistakes(term: Term, operation: Operation, builders: tuple[str, ...], key: tuple[Key, ...]) -> list[str]:
    """What other rules would make of the term, those of its own builders; sorted by how near in length they are."""
    right = operation.apply(term)
    found: dict[Term, Term] = {}
    outer, *inner = dict.fromkeys(builders_of(term))
    for one in RULES[outer]:
        for other in RULES[inner[0]] if inner else (None,):
            rules = {**operation.rules, outer: one, **({inner[0]: other} if inner else {})}
            result = Operation(operation.name, operation.basic, rules).apply(term)
            found.setdefault(settle(result), result)
    found.pop(settle(right), None)
    length = len(write_term(right).split())
    ranked = shuffle([write_term(one) for one in found.values()], *key)
    return sorted(ranked, key=lambda text: abs(len(text.split()) - length))


def builders_of(term: Term) -> list[str]:
    return [] if isinstance(term, str) else [term[0], *(one for part in term[1:] for one in builders_of(part))]


def words_of(term: Term) -> list[str]:
    return [term] if isinstance(term, str) else [word for part in term[1:] for word in words_of(part)]
