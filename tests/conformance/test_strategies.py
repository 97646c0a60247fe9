"""What every strategy of a search keeps to. A new one is tested as soon as it stands in STRATEGIES."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from benchmarks.search_made import Made
from fewfit.search import STRATEGIES, Problem
from fewfit.search.calls import Calls, Spent
from fewfit.search.ledger import Ledger
from fewfit.search.pool import Added, Pool

NAMES = list(STRATEGIES)
MADE = Made(9, seed=4, levels=9)
PROBLEM = Problem(Pool(MADE.ids, {"c1": "pair", "c2": "pair"}), tuple(f"q{n}" for n in range(10)), 3, seed=1)


class Watched:
    """Remembers what it was asked; dies at a given question."""

    def __init__(self, inner: Made = MADE, dies_at: int | None = None):
        self.inner, self.dies_at = inner, dies_at
        self.asked: list[tuple[Added, str, int]] = []

    def score(self, added: Added, questions: Sequence[str], repeat: int = 0) -> list[float]:
        self.asked += [(added, one, repeat) for one in questions]
        if self.dies_at is not None and len(self.asked) > self.dies_at:
            raise KeyboardInterrupt
        return self.inner.score(added, questions, repeat)

    def likelihood(self, added: Added, questions: Sequence[str]) -> list[float]:
        return self.inner.likelihood(added, questions)


def steps(name: str, problem: Problem, calls: Calls) -> list[Added]:
    found = []
    with suppress(Spent):
        for one in STRATEGIES[name].search(problem, calls):
            found.append(one)
    return found


def limited(name: str, scorer: Watched, ledger: Ledger | None = None, budget: int | None = None) -> Calls:
    return Calls(scorer, ledger, STRATEGIES[name].budget(PROBLEM) if budget is None else budget)


@pytest.mark.parametrize("name", NAMES)
def test_k_candidates_that_may_stand_together(name: str) -> None:
    for seed in range(6):
        problem = replace(PROBLEM, seed=seed)
        *_, added = steps(name, problem, limited(name, Watched()))
        assert len(added) == 3 == len(set(added)) and set(added) <= set(MADE.ids)
        assert not {"c1", "c2"} <= set(added)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_the_questions_is_asked(name: str) -> None:
    watched = Watched()
    steps(name, PROBLEM, limited(name, watched))
    assert {one for _, one, _ in watched.asked} <= set(PROBLEM.questions)
    assert len(watched.asked) == len(set(watched.asked))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", (1, 7, 10, 25, 60, 100, 400))
def test_a_budget_is_kept(name: str, budget: int) -> None:
    """Break seen to fail: `Calls.scores` without a look at what is left."""
    watched = Watched()
    calls = limited(name, watched, budget=budget)
    found = steps(name, PROBLEM, calls)
    assert len(watched.asked) == calls.used == calls.paid <= budget
    assert all(0 < len(one) <= 3 for one in found)
    if budget >= 60:
        assert found


@pytest.mark.parametrize("name", NAMES)
def test_more_calls_than_were_given_are_not_needed_by_default(name: str) -> None:
    """The cheaper searches make do with a quarter of the greedy one's calls."""
    calls = limited(name, Watched())
    steps(name, PROBLEM, calls)
    assert calls.used <= PROBLEM.greedy_calls if name == "greedy" else calls.used <= PROBLEM.quarter


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_pool_is_of_no_account(name: str) -> None:
    turned = replace(PROBLEM, pool=Pool(MADE.ids[::-1], PROBLEM.pool.unit))
    assert steps(name, PROBLEM, limited(name, Watched())) == steps(name, turned, limited(name, Watched()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dies_at", (0, 11, 40))
def test_killed_and_begun_again_it_finds_the_same_and_asks_the_rest(name: str, dies_at: int) -> None:
    """Break seen to fail: a budget that counts what was paid in this process, not what was wanted."""
    whole = Watched()
    calls = limited(name, whole)
    expected = steps(name, PROBLEM, calls)
    ledger, first, second = Ledger(), Watched(dies_at=dies_at), Watched()
    with suppress(KeyboardInterrupt):
        steps(name, PROBLEM, limited(name, first, ledger))
    again = limited(name, second, ledger)
    assert steps(name, PROBLEM, again) == expected
    assert again.used == calls.used
    # The block that it died in is asked again, nothing else.
    assert set(first.asked) | set(second.asked) == set(whole.asked) and len(second.asked) == again.paid
    assert len(set(first.asked) & set(second.asked)) <= len(PROBLEM.questions)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_plainly_best_is_found(name: str) -> None:
    class Plain(Made):
        def chance(self, added: Sequence[str], question: str) -> float:
            return 0.999 if "c5" in added else 0.001

        def likelihood(self, added: Sequence[str], questions: Sequence[str]) -> list[float]:
            return [-1.0 if "c5" in added else -2.0 for _ in questions]

    *_, added = steps(name, PROBLEM, limited(name, Watched(Plain(9, seed=0)), budget=PROBLEM.greedy_calls))
    assert "c5" in added
    assert name == "random" or added[0] == "c5"
