"""What each true inference rests on: told facts, none of which can be left out."""

from __future__ import annotations

from collections.abc import Mapping

from fewfit.suites.generalization.deriving import CLOSE
from fewfit.suites.generalization.world import Fact, World


def premises(world: World) -> dict[Fact, tuple[Fact, ...]]:
    """Of every fact that the world's inferences state. What is asked for is known with the question; the rest is
    looked for among what is told."""
    told = dict.fromkeys(fact for document in world.documents for fact in document.facts)
    known = {question.fact: question.made_from for question in world.questions}
    about: dict[str, list[Fact]] = {}
    for fact in told:
        for word in fact[1:]:
            about.setdefault(word, []).append(fact)
    out: dict[Fact, tuple[Fact, ...]] = {}
    for fact in dict.fromkeys(fact for inference in world.inferences for fact in inference.facts):
        out[fact] = (fact,) if fact in told else known.get(fact) or search(world.name, fact, about)
    return out


def search(name: str, fact: Fact, about: Mapping[str, list[Fact]]) -> tuple[Fact, ...]:
    """What is told of its words and of those that stand beside them, and so on until it follows; then less, while it
    still does."""
    words, some = set(fact[1:]), list[Fact]()
    while fact not in CLOSE[name](some):
        more = list(dict.fromkeys(one for word in sorted(words) for one in about.get(word, ())))
        if len(more) == len(some):
            raise ValueError(f"{fact} does not follow from what {name} tells")
        some, words = more, words.union(*(one[1:] for one in more))
    size = max(1, len(some) // 2)
    while size:
        for start in range(len(some) - size, -1, -size):
            fewer = [*some[:start], *some[start + size :]]
            if fact in CLOSE[name](fewer):
                some = fewer
        size //= 2
    return tuple(some)
