"""Demonstrations at use, in the stream and in the bundle (`Lane.delivery`).

    fixed        one set for all queries: of SETS draws from the first examples that under which the model, untrained,
                 finds the other examples likeliest. In the stream the likeliest by the examples so far, in the bundle
                 by all of them, so that what is scored is the choosing, too. (Or a set that was searched for.)
    per-query    each prediction has a draw of its own, each query one of DRAWS by its hash: means over draws, both
    ensemble:m   the answers behind m draws are averaged; of text, the one that most of them give

A chooser that looks at the query is asked anew for each: of what is said here it heeds the ensemble alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from fewfit import draw
from fewfit.demonstrations.chooser import Chooser, Moment
from fewfit.demonstrations.searched import CANDIDATES, QUESTIONS
from fewfit.examples.example import Example
from fewfit.grid import SEARCHED, Lane, parse_deliver

NEXT = Example(id="\0next", prompt="\0next", completion="")  # the example to come conflicts with none
SETS = 8
Set = tuple[Example, ...]
Nll = Sequence[Sequence[float | None]]  # by set and place in the order; None where a set cannot stand before an example


def first_of(n: int, shots: int) -> int:
    """How many examples, from the first on, the sets are drawn from: predictions of later ones are evidence of them."""
    return min(n, max(shots, n // 4, min(2 * shots, n // 2)))


def searched_after(n: int, shots: int) -> tuple[int, ...]:
    """After how many examples a set is searched for among them, for those that come then; after all, for the bundle."""
    first = first_of(n, shots)
    return tuple(sorted({first, *(k for k in (n // 2, 3 * n // 4, n) if k > first)}))


def reads_to_choose(lane: Lane, n: int) -> int:
    """How many answers the model reads to have its fixed sets."""
    if lane.demonstrations != SEARCHED:
        return SETS * n
    return sum(lane.shots_at_use * CANDIDATES * min(k, QUESTIONS) for k in searched_after(n, lane.shots_at_use))


def sets_to_choose_among(chooser: Chooser, order: Sequence[Example], shots: int, seed: int) -> list[Set]:
    first = order[: first_of(len(order), shots)]
    found = [tuple(chooser.choose(first, NEXT, shots, Moment(seed, 0, 1, purpose(k)))) for k in range(SETS)]
    return list(dict.fromkeys(found))


def likeliest(nll: Nll, i: int) -> int:
    """The set that was best on the examples before place i; among equals the first.

    No set stands before its own examples, so each is compared with the others example by example: one that holds the
    hard ones is not the better for that.
    """
    ahead: list[list[float]] = [[] for _ in nll]
    for j in range(min(i - 1, len(nll[0]))):
        there = [(s, value) for s, some in enumerate(nll) if (value := some[j]) is not None]
        mean = fmean(value for _, value in there) if there else 0.0
        for s, value in there:
            ahead[s].append(value - mean)
    return min(range(len(nll)), key=lambda s: (fmean(ahead[s]) if ahead[s] else float("inf"), s))


def drawn_sets(chooser: Chooser, order: Sequence[Example], lane: Lane, seed: int) -> tuple[Set, ...]:
    """The sets that a bundle of so many examples holds, where they are not chosen by likelihood."""
    moments = [Moment(seed, len(order) + 1, 1, purpose(k)) for k in range(parse_deliver(lane.delivery))]
    return tuple(tuple(chooser.choose(order, NEXT, lane.shots_at_use, at)) for at in moments)


def sets_of_query(lane: Lane, query: Example, sets: int) -> Sequence[int]:
    """Which of a bundle's sets a query is answered behind."""
    return range(sets) if lane.members > 1 else (query_number(query) % sets,)


def query_number(query: Example) -> int:
    """The same query is answered in the same way whenever it comes."""
    return draw.number("query", str(query.asked))


def purpose(k: int) -> str:
    """Of the k-th draw for one prediction."""
    return "demos" if k == 0 else f"demos of draw {k}"
