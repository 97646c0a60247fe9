"""Which demonstrations to put into a prompt, searched for on some questions and believed on others.

pool.py        candidates;  scorer.py  who scores a set of them;  calls.py  what is asked, once, within a budget
strategy.py    the face of a search: greedy, racing, screen, random, one a file and its line below
searching.py   a search from end to end;  comparison.py  what it is worth on questions that it did not see
selecting.py   `select_demos`: examples of one's own, dealt out by splitting.py, scored by examples.py
judged.py      the same for answers to instructions, by a judge
"""

from __future__ import annotations

from fewfit.errors import UserError
from fewfit.search.greedy import Greedy
from fewfit.search.racing import Racing
from fewfit.search.random import Random
from fewfit.search.screen import Screen
from fewfit.search.strategy import Problem, Strategy

STRATEGIES: dict[str, Strategy] = {one.name: one for one in (Greedy(), Racing(), Screen(), Random())}

__all__ = ["STRATEGIES", "Problem", "Strategy", "strategy"]


def strategy(name: str) -> Strategy:
    if name not in STRATEGIES:
        raise UserError(f"--strategy {name}", hint=f"choose among {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
