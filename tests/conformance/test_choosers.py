"""What every chooser of demonstrations keeps to. A new one is tested as soon as it stands in CHOOSERS."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import pytest

import fewfit
from fewfit.audit import audit
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.predictions import read
from tests.models_made import tiny
from tests.streams_made import examples
from tests.tokenizers_made import byte_level

NAMES = list(CHOOSERS)
# Every third row shares a prompt with another one, every fourth a group.
ROWS = [
    replace(one, prompt=f"river {k // 3}" if k % 3 == 0 else one.prompt, group=f"g{k // 8}" if k % 4 == 0 else None)
    for k, one in enumerate(examples(24))
]
MOMENTS = [Moment(seed, i, update) for seed, i, update in product((0, 1), (5, 24), (1, 2))]


def chosen(name: str, candidates: list[Example], target: Example, shots: int, at: Moment) -> list[str]:
    return [one.id for one in CHOOSERS[name].choose(candidates, target, shots, at)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", MOMENTS, ids=str)
def test_they_are_candidates_each_once_and_nothing_related(name: str, at: Moment) -> None:
    for shots, target in product((1, 4, 30), ROWS[:6]):
        found = CHOOSERS[name].choose(ROWS, target, shots, at)
        assert len(found) <= shots and all(one in ROWS for one in found)
        assert not any(one.conflicts_with(target) for one in found)
        assert not any(one.conflicts_with(other) for one, other in combinations(found, 2))


@pytest.mark.parametrize("name", NAMES)
def test_there_are_as_many_as_were_asked_for(name: str) -> None:
    apart = [replace(one, prompt=f"{one.prompt} {k}", group=None) for k, one in enumerate(ROWS)]
    for shots in (1, 4, 23):
        assert len(chosen(name, apart, apart[3], shots, MOMENTS[0])) == shots
    assert chosen(name, [], apart[3], 4, MOMENTS[0]) == []
    assert chosen(name, apart, apart[3], 0, MOMENTS[0]) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", MOMENTS, ids=str)
def test_the_answer_asked_for_is_not_looked_at(name: str, at: Moment) -> None:
    for target in ROWS[:6]:
        other = replace(target, completion="something else")
        assert chosen(name, ROWS, target, 4, at) == chosen(name, ROWS, other, 4, at)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", MOMENTS, ids=str)
def test_nothing_but_the_moment_is_chance(name: str, at: Moment) -> None:
    """Not the order in which candidates come, nor how often it was asked before."""
    first = chosen(name, ROWS, ROWS[2], 4, at)
    assert first == chosen(name, ROWS, ROWS[2], 4, at) == chosen(name, ROWS[::-1], ROWS[2], 4, at)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_leaks_nothing_and_its_bundle_answers(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny("llama", vocab_size=len(byte_level()))
    rows = examples(12)
    lanes = [Lane(shots=2, demonstrations=name), Lane(shots=2, lr=1e-3, updates=2, demonstrations=name)]
    run = fewfit.fit(
        [(one.prompt, one.completion) for one in rows], model, tokenizer=byte_level(), grid=lanes, out="run"
    )
    numbered = [replace(one, id=str(k)) for k, one in enumerate(rows, 1)]
    assert audit(numbered, read("run"), read("run", "trained")) == []
    bundle = run.bundle.bundle
    assert bool(bundle.sets) != CHOOSERS[name].per_query and len(bundle.pool or bundle.demonstrations) >= 2
    assert [row["prediction"] in ("left", "right") for row in run.bundle.predict(["river 3", "stone 9"])] == [True] * 2
