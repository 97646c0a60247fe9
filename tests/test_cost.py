"""From how many queries on a tuned lane is the cheaper."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fewfit.grid import Lane
from fewfit.run.cost import asked_tokens, break_even, in_stream

FT, BOTH, PROMPT = Lane(lr=1e-3, updates=1), Lane(shots=4, lr=1e-3, updates=1), Lane(shots=4)


@pytest.mark.parametrize(("tuned", "queries"), [(FT, 30), (BOTH, None)])
def test_as_many_examples_in_a_prompt_cost_as_much(tuned: Lane, queries: int | None) -> None:
    """A token more or less says which examples they are. Break seen to fail: it is taken for a saving."""
    tokens = {FT.name: 20, BOTH.name: 121, PROMPT.name: 122}
    made: list[Any] = [
        SimpleNamespace(name=name, query_tokens=n, trained_tokens=1000 if "lr" in name else 0, inferred_tokens=0)
        for name, n in tokens.items()
    ]
    best = {"icl": PROMPT.name, tuned.kind: tuned.name}
    selection: Any = SimpleNamespace(best=SimpleNamespace(name=tuned.name), best_of_kind=best)
    found = break_even(selection, [FT, BOTH, PROMPT], made)
    assert found is not None and found["queries"] == (None if queries is None else pytest.approx(queries, abs=20))
    assert (found["tuned"], found["prompted"]) == (tuned.name, PROMPT.name)


def test_what_was_trained_on_is_one_set_with_the_shots_of_training() -> None:
    """Break seen to fail: the prompts at use, all of an ensemble's among them."""
    row = {"prompt_tokens": 90, "tokens": 2, "seed": 0}
    alike = Lane(shots=8, lr=1e-3, updates=5)
    fewer = Lane(shots=8, use_shots=0, lr=1e-3, updates=5)
    averaged = Lane(shots=8, lr=1e-3, updates=5, deliver="ensemble:8")
    rows = [
        {**row, "lane": alike.name}, {**row, "lane": fewer.name, "prompt_tokens": 10},
        {**row, "lane": averaged.name, "prompt_tokens": 720},
    ]  # fmt: skip
    assert list(in_stream(rows, [alike, fewer, averaged]).values()) == [pytest.approx(5 * 92)] * 3


def test_a_prompt_that_is_trained_on_was_not_asked_besides() -> None:
    """Of an ensemble one prompt trains. Break seen to fail: all that lanes which train predicted counted twice."""
    alike, apart = Lane(shots=8, lr=1e-3, updates=5), Lane(shots=8, use_shots=0, lr=1e-3, updates=5)
    averaged, prompts = Lane(shots=8, lr=1e-3, updates=5, deliver="ensemble:8"), Lane(shots=8)
    lanes = [alike, apart, averaged, prompts]
    rows = [{"prompt_tokens": 80, "tokens": 2, "seed": seed, "lane": one.name} for one in lanes for seed in (0, 1)]
    assert list(asked_tokens(rows, lanes, flat=False).values()) == [0, 80, 70, 80]
    assert asked_tokens(rows[:1], lanes[:1], flat=True) == {alike.name: 80}, "documents are learnt first, asked then"
