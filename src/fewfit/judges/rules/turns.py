"""Questions of several turns made from those of one: first a request, then what the answer must keep.

The request is the published prompt without its constraints where these can be cut out, else one of ours. The turns
after it say in our words what the checks ask for (`describe`), so that a conversation states everything that is
checked, and a question of a user's own needs no more than a request and checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources

from fewfit.draw import number
from fewfit.errors import UserError
from fewfit.judges.question import Check, Question
from fewfit.judges.rules.book import describe, rule_of
from fewfit.judges.rules.cutting import cut
from fewfit.judges.rules.rule import WHOLE

MOST_TURNS = 8
AGAIN = "Write your answer again so that it keeps to this:"
ALSO = "Write your answer again. Keep to all that was asked for before, and to this too:"


def split(question: Question) -> Question:
    """The request in the first turn, where nothing is checked, and all constraints in the second."""
    checks = _checks(question)
    told = " ".join([AGAIN, *map(describe, checks)])
    return replace(question, turns=(request_of(question), told), references=(), checks=((), checks))


def chain(questions: Sequence[Question], turns: int = MOST_TURNS, seed: int = 0) -> list[Question]:
    """A request, and then one constraint more in every turn, with all earlier ones still checked: the question's own
    first, then others', drawn by hash. None is taken that may contradict one that stands, nor one that says what the
    whole answer is, so a chain is shorter than `turns` where no other is left."""
    if not 2 <= turns <= MOST_TURNS:
        raise UserError(f"a chain of {turns} turns", hint=f"2 to {MOST_TURNS}")
    pool = [(question.id, k, check) for question in questions for k, check in enumerate(_checks(question))]
    return [_chained(question, pool, turns, seed) for question in questions]


def request_of(question: Question) -> str:
    """The prompt without its constraints, else a request of ours, drawn by the question's id."""
    left = cut(question.turns[0], _checks(question))
    return requests()[number("request", question.id) % len(requests())] if left is None else left


def together(one: Check, other: Check) -> bool:
    """Can an answer keep both, as far as we know? On the safe side."""
    mine, others = rule_of(one).touches.split(), rule_of(other).touches.split()
    if WHOLE in (*mine, *others) or set(mine) & set(others):
        return False
    pairs = ((one, other), (other, one))
    return not any(bar in text for a, b in pairs for bar in _barred(a) for text in _wanted(b))


def _chained(question: Question, pool: Sequence[tuple[str, int, Check]], turns: int, seed: int) -> Question:
    others = sorted(
        (one for one in pool if one[0] != question.id), key=lambda one: number(seed, "chain", question.id, *one[:2])
    )
    standing: list[Check] = []
    for check in [*_checks(question), *(one[2] for one in others)]:
        if len(standing) == turns - 1:
            break
        if WHOLE not in rule_of(check).touches.split() and all(together(check, one) for one in standing):
            standing.append(check)
    told = [f"{ALSO if k else AGAIN} {describe(check)}" for k, check in enumerate(standing)]
    return replace(
        question,
        turns=(request_of(question), *told),
        references=(),
        checks=tuple(tuple(standing[:k]) for k in range(len(standing) + 1)),
    )


def _checks(question: Question) -> tuple[Check, ...]:
    if len(question.turns) != 1 or len(question.checks) != 1:
        raise UserError("several turns already", where=f"question {question.id}", hint="give questions of one turn")
    return question.checks[0]


def _barred(check: Check) -> set[str]:
    """What an answer must not have, or not often."""
    given = check.arguments
    few = [word for name, how in (("keyword", "relation"), ("letter", "let_relation"))
           if given.get(how) == "less than" and (word := given.get(name))]  # fmt: skip
    comma = [","] if check.name == "punctuation:no_comma" else []
    return {word.strip().lower() for word in [*given.get("forbidden_words", ()), *few, *comma]}


def _wanted(check: Check) -> set[str]:
    """What an answer must have, word for word."""
    flat = [
        one
        for name, value in check.arguments.items()
        if not name.endswith("relation")
        for one in (value if isinstance(value, list | tuple) else [value])
    ]
    return {one.lower() for one in flat if isinstance(one, str)} - _barred(check)


@cache
def requests() -> tuple[str, ...]:
    text = (resources.files("fewfit.judges.rules") / "requests.txt").read_text(encoding="utf-8")
    return tuple(text.split("\n")[:-1])
