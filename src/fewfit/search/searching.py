"""A search from end to end: within its budget, resumable, and believed only on questions that it did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fewfit.errors import UserError
from fewfit.search.calls import Calls, OnStep, Spent
from fewfit.search.comparison import Worth, worth
from fewfit.search.ledger import Ledger
from fewfit.search.pool import Added
from fewfit.search.scorer import Scorer
from fewfit.search.strategy import Problem, Strategy


@dataclass(frozen=True)
class Found:
    """`added` are the candidates to put before the start, in this order. `asked` is how many questions of the search it
    answered and `seen` its mean over them: too high, since it was chosen by them. `worth` is what counts."""

    strategy: str
    added: Added
    k: int
    steps: tuple[Added, ...]
    seen: float
    asked: int
    calls: int
    paid: int
    budget: int | None
    worth: Worth

    @property
    def is_whole(self) -> bool:
        return len(self.added) == self.k

    def as_json(self) -> dict[str, Any]:
        return {
            "strategy": self.strategy,
            "added": list(self.added),
            "k": self.k,
            "steps": [list(one) for one in self.steps],
            "seen": {"score": self.seen, "n": self.asked},
            "calls": self.calls,
            "paid": self.paid,
            "budget": self.budget,
            "held_out": self.worth.as_json(),
        }


def search(
    problem: Problem,
    how: Strategy,
    scorer: Scorer,
    held_out: Sequence[str],
    *,
    ledger: Ledger | None = None,
    budget: int | None = None,
    on_step: OnStep | None = None,
) -> Found:
    refuse_impossible(problem, budget)
    refuse_leaks(problem, held_out)
    ledger = Ledger() if ledger is None else ledger
    budget = how.budget(problem) if budget is None else budget
    calls = Calls(scorer, ledger, budget)
    steps: list[Added] = []
    try:
        for added in how.search(problem, calls):
            steps.append(added)
            if on_step is not None:
                on_step(added, calls)
    except Spent:
        pass
    if not steps:
        hint = f"{len(problem.questions)} questions of one candidate are the least, {problem.quarter} would do"
        raise UserError(f"--budget {budget} pays for no candidate", hint=hint)
    seen, asked = calls.seen(steps[-1])
    outside = Calls(scorer, ledger, held_out=True)
    value = worth(steps[-1], problem, held_out, outside, on_step)
    paid = calls.paid + outside.paid
    return Found(how.name, steps[-1], problem.k, tuple(steps), seen, asked, calls.used, paid, budget, value)


def refuse_impossible(problem: Problem, budget: int | None) -> None:
    units = {problem.pool.unit_of(one) for one in problem.pool.ids}
    if not 1 <= problem.k <= len(units):
        raise UserError(f"--k {problem.k}", hint=f"give 1 to {len(units)}, the candidates that may stand together")
    if budget is not None and budget < 1:
        raise UserError(f"--budget {budget}", hint="give 1 or more")


def refuse_leaks(problem: Problem, held_out: Sequence[str]) -> None:
    for name, some in (("questions to search on", problem.questions), ("held-out questions", held_out)):
        if not some:
            raise UserError(f"there are no {name}", hint="give more rows, or a file of them")
    if both := set(problem.questions) & set(held_out):
        raise UserError(f"question {min(both)} is held out and searched on", hint="give either its own")
