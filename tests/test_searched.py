"""`--demos searched`: a set made again and again as the stream goes on, and knowing nothing of later examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from statistics import fmean

import pytest
import torch

import fewfit
from fewfit.audit import audit
from fewfit.demonstrations.delivery import first_of, searched_after
from fewfit.engine.task import SetKey
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.predictions import read
from fewfit.run.inspection import sequence
from fewfit.search.prefixes import searched_set, searched_sets
from tests.models_made import tiny
from tests.streams_made import examples, task_of
from tests.tokenizers_made import byte_level

torch.set_num_threads(1)
KEY = SetKey(0, 2, "searched")
ROWS = examples(12)
OTHER = {"left": "right", "right": "left"}
LANE = Lane(shots=2, demonstrations="searched")


def model() -> object:
    return tiny("llama", vocab_size=len(byte_level()))


@pytest.mark.parametrize("judge", ("choice", "exact"))
def test_a_set_knows_nothing_of_the_examples_that_it_is_used_for(judge: str) -> None:
    """Breaks seen to fail: questions taken from the whole order; a set released one example early."""
    task = task_of(ROWS, judge=judge)
    found = searched_sets(model(), task, KEY)
    order = task.order(0)
    assert [one.after for one in found] == list(searched_after(12, 2)) == [4, 6, 9, 12]
    for one in found:
        known = {example.id for example in order[: one.after]}
        assert {demo.id for demo in one.demos} <= known
        turned = [row if row.id in known else replace(row, completion=OTHER[row.completion]) for row in ROWS]
        assert turned != ROWS or one.after == 12
        again = searched_sets(model(), task_of(turned, judge=judge), KEY)
        assert [demo.id for demo in again[found.index(one)].demos] == [demo.id for demo in one.demos]
    task.searched[KEY] = found
    for i in range(first_of(12, 2) + 1, 14):
        demos = task.likeliest_set(KEY, i)
        assert demos == max((one for one in found if one.after < i), key=lambda one: one.after).demos
    assert len({one.demos for one in found}) > 1  # else the test could not tell


def test_each_step_adds_the_best_by_brute_force() -> None:
    """Break seen to fail: a set compared by its plain mean, though it was not asked its own examples."""
    worth = {str(k): 0.1 * ((7 * k) % 11) for k in range(1, 7)}
    hard = {str(k): 1.0 * (k % 3) for k in range(1, 7)}

    def nats(demos: Sequence[Example], questions: Sequence[Example]) -> list[float]:
        return [hard[one.id] + 2.0 - sum(worth[demo.id] for demo in demos) for one in questions]

    rows = examples(6)
    found = searched_set(rows, 2, 0, nats)
    best = max(permutations(worth, 2), key=lambda pair: fmean(worth[one] for one in pair))
    assert {demo.id for demo in found} == set(best)
    assert searched_set(rows, 9, 0, nats)[-1] == found[-1] and len(searched_set(rows, 9, 0, nats)) == 6


def test_related_examples_are_not_put_together() -> None:
    rows = [replace(one, group=f"g{k // 2}") for k, one in enumerate(examples(8))]
    found = searched_set(rows, 4, 0, lambda demos, questions: [0.0 for _ in questions])
    assert len({one.group for one in found}) == 4


def test_a_run_is_scored_by_what_was_released_and_delivers_the_last(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    lanes = [LANE, Lane(shots=2, lr=1e-3, updates=1, demonstrations="searched")]
    rows = [(one.prompt, one.completion) for one in ROWS]
    run = fewfit.fit(rows, model(), tokenizer=byte_level(), grid=lanes, out="run", race=False, no_instruction=True)
    numbered = [replace(one, id=str(k)) for k, one in enumerate(ROWS, 1)]
    told = read("run")
    assert audit(numbered, told, read("run", "trained")) == []
    task = task_of(numbered, judge="choice")
    found = {one.after: [demo.id for demo in one.demos] for one in searched_sets(model(), task, KEY)}
    for row in told:
        if row["i"] > first_of(12, 2):
            assert row["demos"] == found[max(after for after in found if after < row["i"])]
    assert [demo.id for demo in run.bundle.bundle.demonstrations] == found[12]
    for row in told[::5]:
        seen, _, _ = sequence(Path("run"), row["lane"], row["i"], tokenizer=byte_level())
        assert list(seen.demos) == row["demos"]


def test_it_is_one_set_for_all_queries() -> None:
    assert LANE.is_fixed and Lane(shots=2, lr=1e-3, updates=1, demonstrations="searched").is_fixed
    rows = [(one.prompt, one.completion) for one in ROWS]
    with pytest.raises(UserError, match="one set for all queries"):
        fewfit.fit(rows, model(), tokenizer=byte_level(), grid=[replace(LANE, deliver="per-query")])
