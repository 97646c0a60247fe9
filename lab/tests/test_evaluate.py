"""The report of `python -m lab eval`: forced choices, and the level that guessing reaches beside each."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from lab import evaluate


class Guesser:
    """Takes any choice, and keeps how many there were."""

    def __init__(self) -> None:
        self.rng = Random(0)
        self.numbers: list[int] = []

    def choose(self, prefix: str, choices: Sequence[str]) -> int:
        assert len(set(choices)) == len(choices)
        self.numbers.append(len(choices))
        return self.rng.randrange(len(choices))


@pytest.mark.parametrize("held_out", [False, True])
def test_reversals_have_the_chance_of_every_case_and_guessing_reaches_it(held_out):
    guesser = Guesser()
    found = evaluate.reversals(guesser, 300, held_out)
    assert set(found) == {"relation", "name", "chance"}
    for kind in ("relation", "name"):
        assert found["chance"][kind].keys() == found[kind].keys()
        for case, chance in found["chance"][kind].items():
            assert abs(found[kind][case] - chance) < 0.1
    assert set(found["chance"]["relation"].values()) == {0.5}
    assert [found["chance"]["name"][f"{facts} facts, 8 shots"] for facts in (1, 2, 3)] == [0.5, 0.25, 0.167]
    assert set(guesser.numbers) == {2, 4, 6}


def test_syllogisms_have_their_chance_and_guessing_reaches_it():
    found = evaluate.syllogisms(Guesser(), 300)
    assert found["chance"] == 0.5
    assert all(abs(found[case] - 0.5) < 0.1 for case in ("0 shots", "8 shots"))
