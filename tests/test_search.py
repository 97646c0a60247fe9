"""A search for demonstrations: what is asked, kept and believed. (What every strategy keeps to: tests/conformance.)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from benchmarks.search import simulated_cell
from benchmarks.search_made import Made
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.examples.related import apart, related
from fewfit.judges import Answered, Question, Verdict
from fewfit.search import STRATEGIES, Problem, ledger
from fewfit.search.calls import Calls
from fewfit.search.comparison import RANDOM, START, Gain, Mean, worth
from fewfit.search.greedy import Greedy
from fewfit.search.judged import JudgedScorer
from fewfit.search.pool import Added, Pool
from fewfit.search.racing import leads, surely_behind
from fewfit.search.searching import search
from fewfit.search.splitting import split

QUESTIONS = tuple(f"q{n}" for n in range(12))
HELD_OUT = tuple(f"held {n}" for n in range(30))


def problem_of(made: Made, k: int = 3, questions: Sequence[str] = QUESTIONS) -> Problem:
    return Problem(Pool(made.ids), questions, k, made.seed)


# ---- greedy, as in the paper -----------------------------------------------------------------------------------------


class Table:
    """Scores that stand in a table: of the last that was added, the same for every question."""

    def __init__(self, **scores: float):
        self.scores = scores
        self.asked: list[tuple[Added, int]] = []

    def score(self, added: Added, questions: Sequence[str], repeat: int = 0) -> list[float]:
        self.asked.append((added, repeat))
        return [self.scores[added[-1]] for _ in questions]


@pytest.mark.parametrize(
    ("how", "again"),
    [
        (Greedy(), {"b", "c"}),
        (Greedy(threshold=0.45), {"b"}),
        (Greedy(threshold=0.95), {"b", "c", "d"}),
    ],
    ids=["three quarters", "threshold", "a threshold that nobody reaches"],
)
def test_greedy_narrows_its_pool_after_the_first_round(how: Greedy, again: set[str]) -> None:
    table = Table(a=0.9, b=0.5, c=0.4, d=0.1)
    problem = Problem(Pool(("a", "b", "c", "d")), QUESTIONS, 2)
    *_, added = how.search(problem, Calls(table))
    assert added == ("a", "b")
    assert {one[-1] for one, _ in table.asked if len(one) == 2} == again


@pytest.mark.parametrize("how", [Greedy(), Greedy(threshold=0.8)], ids=["three quarters", "threshold"])
def test_greedy_keeps_as_many_as_are_still_to_be_added(how: Greedy) -> None:
    """Break seen to fail: three of four, or one of four, found, with nothing left to ask."""
    problem = Problem(Pool(("a", "b", "c", "d")), QUESTIONS, 4)
    *_, added = how.search(problem, Calls(Table(a=0.9, b=0.5, c=0.4, d=0.1)))
    assert added == ("a", "b", "c", "d")


def test_greedy_asks_several_times_in_later_rounds() -> None:
    """And narrows its pool once. Breaks seen to fail: repeats in the first round, too; narrowing in every round."""
    table = Table(a=0.9, b=0.8, c=0.7, d=0.6, e=0.5, f=0.4, g=0.3, h=0.2)
    calls = Calls(table)
    list(Greedy(repeats=3).search(Problem(Pool(tuple("abcdefgh")), QUESTIONS, 3), calls))
    assert {repeat for one, repeat in table.asked if len(one) == 1} == {0}
    assert {repeat for one, repeat in table.asked if len(one) == 2} == {0, 1, 2}
    assert calls.used == len(QUESTIONS) * (8 + 5 * 3 + 4 * 3)


def test_greedy_adds_what_is_best_beside_what_was_added() -> None:
    """By brute force: each step's candidate is the best of those that may be added, on all questions."""
    made = Made(8, seed=2, levels=9)
    (first,), (_, second), *_ = Greedy().search(problem_of(made), Calls(made))
    assert first == max(made.ids, key=lambda one: fmean(made.score((one,), QUESTIONS)))
    kept = sorted(made.ids, key=lambda one: -fmean(made.score((one,), QUESTIONS)))[1:6]
    assert second == max(kept, key=lambda one: fmean(made.score((first, one), QUESTIONS)))


# ---- racing ----------------------------------------------------------------------------------------------------------


def test_racing_is_as_good_as_greedy_at_a_quarter_of_its_calls() -> None:
    """Where effects are known, 30 candidates and 32 questions. Break seen to fail: the worse half staying."""
    apart, shares, over_random = [], [], []
    for seed in range(10):
        made = Made(30, seed, levels=9)
        problem = problem_of(made, questions=tuple(f"q{n}" for n in range(32)))
        told = {}
        for name in ("greedy", "racing"):
            calls = Calls(made, budget=STRATEGIES[name].budget(problem))
            *_, added = STRATEGIES[name].search(problem, calls)
            told[name] = made.truth(added), calls.used
        apart.append(told["greedy"][0] - told["racing"][0])
        shares.append(told["racing"][1] / told["greedy"][1])
        over_random.append(told["racing"][0] - made.truth(problem.pool.drawn(3, seed, "any")))
    assert fmean(apart) < 0.04 and max(shares) <= 0.25
    assert fmean(over_random) > 0.15


def test_who_is_surely_behind() -> None:
    """Differences count, question by question: hard questions are hard for everybody."""
    hard = [0.0, 1.0] * 10
    near = [*hard[:-1], 0.0]
    assert surely_behind(["a", "b"], {"a": hard, "b": near}, 20) == set()
    assert surely_behind(["a", "b"], {"a": [1.0] * 20, "b": [0.0] * 20}, 20) == {"b"}
    assert surely_behind(["a", "b"], {"a": [1.0] * 3, "b": [0.0] * 3}, 400) == set()  # much may still come
    assert surely_behind(["a", "b"], {"a": hard, "b": hard}, 0) == set()


def test_later_questions_are_no_harder_for_those_who_stayed() -> None:
    """Break seen to fail: each one's plain mean, which would put `c` ahead of `a`."""
    ahead = leads({"a": [1.0, 1.0, 0.0, 0.0, 0.0], "b": [1.0, 0.5, 0.0, 0.0, 0.0], "c": [0.5, 0.5]})
    assert ahead["a"] > ahead["b"] > ahead["c"]


# ---- what is asked and kept ------------------------------------------------------------------------------------------


def test_a_search_asks_nothing_that_another_asked_before(tmp_path: Path) -> None:
    made = Made(8, seed=3)
    found = {}
    for name in ("greedy", "racing", "greedy"):
        with ledger.opened(tmp_path / "scores.jsonl", {"data": "d"}) as book:
            found[name] = search(problem_of(made), STRATEGIES[name], made, HELD_OUT, ledger=book)
    assert found["greedy"].paid == 0 and found["greedy"].calls == problem_of(made).greedy_calls
    alone = search(problem_of(made), STRATEGIES["racing"], made, HELD_OUT)
    assert replace(found["racing"], paid=alone.paid) == alone and found["racing"].paid < alone.paid


def test_a_ledger_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    with ledger.opened(path, {"data": "d", "model": "m"}) as book:
        book.add("score", ("a",), ["q"], 0, [1.0])
        with pytest.raises(UserError, match="another process"), ledger.opened(path, {"data": "d", "model": "m"}):
            pass
    with pytest.raises(UserError, match="another model"), ledger.opened(path, {"data": "d", "model": "n"}):
        pass
    path.write_bytes(path.read_bytes() + b'{"kind": "sco')  # as a process leaves it that is killed
    with ledger.opened(path, {"data": "d", "model": "m"}) as book:
        assert ("score", ("a",), "q", 0) in book
        book.add("score", ("b",), ["q"], 0, [0.5])
    with ledger.opened(path, {"data": "d", "model": "m"}) as book:
        assert book["score", ("b",), "q", 0] == 0.5


KILLED = """
import os, signal, sys
from pathlib import Path
from benchmarks.search import simulated_cell
from benchmarks.search_made import Made
from fewfit.search import STRATEGIES, Problem, ledger
from fewfit.search.pool import Pool
from fewfit.search.searching import search

class Logged(Made):
    def score(self, added, questions, repeat=0):
        with open(sys.argv[2], "a") as log:
            log.write("".join(f"{'+'.join(added)} {one}\\n" for one in questions))
        found = super().score(added, questions, repeat)
        if len(Path(sys.argv[2]).read_text().splitlines()) > int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return found

made = Logged(8, seed=3)
problem = Problem(Pool(made.ids), tuple(f"q{n}" for n in range(12)), 3, made.seed)
with ledger.opened(Path(sys.argv[1]), {"data": "d"}) as book:
    found = search(problem, STRATEGIES["racing"], made, [f"held {n}" for n in range(30)], ledger=book)
print(found.calls, *found.added)
"""


def test_a_process_that_was_killed_loses_one_block_at_most(tmp_path: Path) -> None:
    """Break seen to fail: a ledger that writes when it is closed."""
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root / "src"), str(root)])

    def run(most: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(tmp_path / "scores.jsonl"), str(tmp_path / "log"), str(most)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})

    assert run(20).returncode == -9
    done = run(10_000)
    made = Made(8, seed=3)
    expected = search(problem_of(made), STRATEGIES["racing"], made, HELD_OUT)
    assert done.stdout.split() == [str(expected.calls), *expected.added], done.stderr
    asked = (tmp_path / "log").read_text().splitlines()
    assert len(asked) - len(set(asked)) <= len(QUESTIONS) and len(set(asked)) == expected.paid


@pytest.mark.parametrize(("said", "words"), [([0.5], "1 scores for 2"), ([0.5, 1.5], "1.5"), ([0.5, None], "None")])
def test_a_judge_that_gives_no_scores_is_refused(said: list[Any], words: str) -> None:
    class Odd:
        def score(self, added: Added, questions: Sequence[str], repeat: int = 0) -> list[float]:
            return said

    with pytest.raises(UserError, match=words):
        Calls(Odd()).scores(("a",), ["q", "r"])


def test_a_budget_that_pays_for_nothing_and_other_refusals() -> None:
    made = Made(8, seed=3)
    with pytest.raises(UserError, match="--budget 2 pays for no candidate"):
        search(problem_of(made), Greedy(), made, HELD_OUT, budget=2)
    with pytest.raises(UserError, match="--k 9"):
        search(problem_of(made, k=9), Greedy(), made, HELD_OUT)
    with pytest.raises(UserError, match="held out and searched on"):
        search(problem_of(made), Greedy(), made, ["q1"])
    short = search(problem_of(made), Greedy(), made, HELD_OUT, budget=8 * 12 + 30)
    assert len(short.added) == 2 and not short.is_whole and short.calls <= 8 * 12 + 30


# ---- what is believed ------------------------------------------------------------------------------------------------


def test_a_gain_is_told_by_questions_that_were_not_searched_on() -> None:
    """Candidates that do nothing: the best of many looks good on its own questions and is not said to be better. Break
    seen to fail: the searched questions handed to `worth`."""
    seen, better = [], 0
    for seed in range(12):
        made = Made(24, seed, effects=0.0, pairs=1.5, base=0.0)
        found = search(problem_of(made), Greedy(), made, HELD_OUT)
        seen.append(found.seen - found.worth.means["searched"].score)
        better += found.worth.gains[0].low > 0
    assert fmean(seen) > 0.15 and better <= 3


def test_a_gain_that_is_there_is_shown() -> None:
    made = Made(24, seed=1, effects=1.5, levels=9)
    found = search(problem_of(made), STRATEGIES["racing"], made, tuple(f"held {n}" for n in range(80)))
    assert [one.over for one in found.worth.gains] == [START, RANDOM]
    assert [one.verdict for one in found.worth.gains] == ["better than the start", "better than random sets"]


def test_gains_are_paired() -> None:
    """The same two scores: question by question apart, or better on the same questions."""
    paired = Gain.of("x", [1.0] * 16 + [0.0] * 16, [1.0] * 8 + [0.0] * 24)
    crossed = Gain.of("x", [1.0] * 16 + [0.0] * 16, [0.0] * 24 + [1.0] * 8)
    assert paired.gain == crossed.gain == 0.25
    assert paired.verdict == "better than x" and crossed.verdict == "not shown to be better than x"
    assert Gain.of("x", [0.0] * 20, [1.0] * 20).verdict == "worse than x"
    assert Mean.of([1.0, 0.0, 0.5, 0.5]).score == 0.5


def test_held_out_questions_cost_calls_that_are_told() -> None:
    made = Made(8, seed=3)
    calls = Calls(made)
    told = worth(("c1", "c2"), problem_of(made), HELD_OUT, calls)
    assert told.calls == calls.used == 7 * len(HELD_OUT) and told.n == len(HELD_OUT)
    json.dumps(told.as_json(), allow_nan=False)


# ---- rows dealt out --------------------------------------------------------------------------------------------------

ROWS = [
    Example(str(n), f"prompt {n // 2 if n % 7 == 0 else n}", "yes", group=f"g{n // 5}" if n % 3 == 0 else None)
    for n in range(60)
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("given", ((), ("questions",), ("held_out",), ("start",)))
def test_what_is_related_stays_together(seed: int, given: tuple[str, ...]) -> None:
    """Break seen to fail: rows dealt out one by one."""
    files = {name: [replace(one, id=str(n)) for n, one in enumerate(ROWS[:6])] for name in given}
    parts = split(ROWS, seed=seed, **files)
    kinds = [parts.start, parts.candidates, parts.questions, parts.held_out]
    for some, others in combinations(kinds, 2):
        assert not any(one.conflicts_with(other) for one in some for other in others)
    ids = [one.id for some in kinds for one in some]
    assert len(ids) == len(set(ids)) and all(kinds[1:])
    for one, other in combinations(parts.candidates, 2):
        assert not one.conflicts_with(other) or parts.unit[one.id] == parts.unit[other.id]


def test_relations_reach_through_others() -> None:
    rows = [Example("1", "a", "x", group="g"), Example("2", "b", "x", group="g"), Example("3", "b", "x")]
    assert related([Example("4", "c", "x"), *rows]) == [0, 1, 1, 1]
    other_way_round = [rows[2], Example("4", "c", "x"), rows[0], rows[1]]
    assert related(other_way_round) == [0, 1, 0, 0]
    assert apart(rows, [Example("5", "b", "z")]) == []


def test_nothing_is_held_out_that_was_searched_on() -> None:
    """Break seen to fail: of one file named twice the score of the search was told as held out."""
    parts = split(ROWS, seed=0, questions=ROWS[:12], held_out=ROWS[6:12])
    assert not any(one.conflicts_with(other) for one in parts.questions for other in parts.held_out)
    with pytest.raises(UserError, match="no questions to search on"):
        split(ROWS, seed=0, questions=ROWS[:6], held_out=ROWS[:6])


def test_an_answer_has_no_part_in_how_rows_are_dealt_out() -> None:
    turned = [replace(one, completion="no") for one in ROWS]
    ids = [[one.id for one in split(rows, seed=2).questions] for rows in (ROWS, turned)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(("rows", "more", "words"), [(2, {}, "no candidates"), (9, {"pool": 9}, "no questions")])
def test_too_few_rows_are_refused(rows: int, more: dict[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        split([Example(str(n), f"p{n}", "x") for n in range(rows)], seed=0, **more)


# ---- answers to instructions -----------------------------------------------------------------------------------------


class Echo:
    """Answers with the demonstrations' names, turn by turn."""

    def answer(self, demonstrations: Added, questions: Sequence[Question]) -> list[tuple[str, ...]]:
        return [tuple(f"{turn} {' '.join(demonstrations)}" for turn in one.turns) for one in questions]


class Likes:
    """A judge who likes answers that name `c3`; of one question he cannot make up his mind."""

    name = "likes"

    def judge(self, answered: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        return [
            tuple(
                Verdict(None if one.question.id == "q0" else float("c3" in text) / (n + 1))
                for n, text in enumerate(one.answers)
            )
            for one in answered
        ]


def test_answers_to_instructions_are_searched_by_a_judge() -> None:
    asked = [Question(id, (f"first {id}", f"second {id}")) for id in (*QUESTIONS, *HELD_OUT)]
    scorer = JudgedScorer(Echo(), Likes(), asked)
    assert scorer.score(("c3",), ["q0", "q1"]) == [0.0, 1.0] and scorer.unread == 1
    assert JudgedScorer(Echo(), Likes(), asked, turns=None).score(("c3",), ["q1"]) == [0.75]
    found = search(
        Problem(Pool(tuple(f"c{n}" for n in range(6))), QUESTIONS, 1), STRATEGIES["racing"], scorer, HELD_OUT
    )
    assert found.added == ("c3",) and found.worth.gains[0].verdict == "better than the start"
    with pytest.raises(UserError, match="nobody tells how likely"):
        search(Problem(Pool(("c1", "c2")), QUESTIONS, 1), STRATEGIES["screen"], scorer, HELD_OUT)


def test_the_benchmark_compares_with_greedy_draw_by_draw() -> None:
    found = simulated_cell(8, 8, 4, 9)
    assert found["greedy"]["less than greedy"] == found["greedy"]["error"] == 0.0
    for one in found.values():
        assert one["less than greedy"] == pytest.approx(found["greedy"]["worth"] - one["worth"])
    assert 0 < found["racing"]["calls"] <= found["greedy"]["calls"] / 4
