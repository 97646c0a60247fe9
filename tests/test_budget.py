"""A budget: which lanes run, when the field is halved, and that it is said. Racing's promise does not cover halving."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fewfit
import fewfit.run.watch
from fewfit.grid import PRESETS, Grid, Lane
from fewfit.predictions import read
from fewfit.run import timing
from fewfit.run.budget import within_budget
from fewfit.settings import Settings
from fewfit.stats.race import Race, halving_places, share_run
from tests.models_made import tiny
from tests.streams_made import examples
from tests.test_race import LANES, N, rows
from tests.tokenizers_made import byte_level

QUICK = Grid.of(**PRESETS["quick"])
COST = {lane.name: 10.0 for lane in QUICK.lanes}  # 15 lanes: 150 seconds


def within(seconds: float, **asked):
    return within_budget(Settings(model="lab", **{"budget": "1m", **asked}), QUICK, COST, seconds, 60)


def test_where_all_fits_nothing_is_said() -> None:
    """Break seen to fail: halved whenever a budget is given."""
    assert within(150.0) == (QUICK, (), [])


def test_a_budget_that_was_given_halves_the_field_before_it_cuts_the_grid() -> None:
    """60 examples of which the last 40 count: after 30 and 40 the worse half leaves, so that 30/60 + 10/120 + 20/240 =
    two thirds of all steps are made: 80 of 120 seconds of the lanes that train, and all 30 of the three that prompt,
    which are done before anybody leaves. Breaks seen to fail: the grid cut first; the places counted from the stream's
    beginning."""
    grid, halvings, notices = within(110.5)
    assert (grid, halvings) == (QUICK, (30, 40))
    assert share_run(60, halvings) == pytest.approx(2 / 3)
    (notice,) = notices
    assert "the worse half leaves after example 30 and 40, without racing's promise" in notice
    assert "at most 5 of 100" in notice
    grid, halvings, notices = within(50.0)
    assert halvings == (30, 40) and 4 <= len(grid.lanes) < 15 and len(notices) == 2
    assert sum(10 * (2 / 3 if lane.trains else 1) for lane in grid.lanes) <= 50


def test_what_keeps_the_promise_is_not_halved() -> None:
    """The default budget, and a run without racing: lanes are cut beforehand, as ever. A grid that was spelled out is
    only told. Break seen to fail: halved all the same."""
    for asked in ({"budget": None}, {"race": False}):
        grid, halvings, notices = within(100.0, **asked)
        assert halvings == () and len(grid.lanes) == 10
        assert notices == ["10 of 15 lanes fit a budget of 1.67 minutes; --budget says otherwise"]
    grid, halvings, notices = within(100.0, shots=[4, 8])
    assert (grid, halvings) == (QUICK, ())
    assert notices == ["about 2.5 minutes, more than a budget of 1.67 minutes; a grid that was spelled out is not cut"]


@pytest.mark.parametrize("n, places", [(6, ()), (20, (13,)), (60, (30, 40)), (100, (49, 66))])
def test_halvings_wait_for_rows_to_judge_by(n: int, places: tuple[int, ...]) -> None:
    """The last two thirds count. Break seen to fail: after two rows."""
    assert halving_places(n, "z23") == places


def test_the_worse_half_leaves_and_the_best_of_every_kind_stays() -> None:
    """Of eleven equal lanes, none surely behind: about five leave, then half of the rest. Breaks seen to fail: the
    better half dropped; kinds left without a lane."""
    told = rows([0.5] * len(LANES))
    places = halving_places(N, "z23")
    race = Race(LANES, [0], N, "match", places)
    for row in told:
        race.tell(row)
    race.leaving()
    plain = Race(LANES, [0], N, "match")
    for row in told:
        plain.tell(row)
    plain.leaving()
    halved = [name for name, i in race.left.items() if i in places and plain.left.get(name) != i]
    assert len(halved) >= 4
    kinds = {lane.kind for lane in LANES if lane.name not in race.left}
    assert kinds == {"zero-shot", "icl", "ft", "icl+ft"}
    good = rows([0.0, 0.0, 0.1, 0.2, 0.1, 0.0, 0.1, 0.6, 0.7, 0.8, 0.9])
    race = Race(LANES, [0], N, "match", places)
    for row in good:
        race.tell(row)
    race.leaving()
    mean = {lane.name: np.mean([r["score"] for r in good if r["lane"] == lane.name]) for lane in LANES}
    assert max(mean, key=mean.__getitem__) not in race.left


@pytest.mark.slow
def test_fit_halves_the_field_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks seen to fail: halvings not kept in run.json; not handed to the race."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "lane_seconds", lambda model, task, lanes, seeds: {lane.name: 10.0 for lane in lanes})
    model = tiny("llama", vocab_size=len(byte_level()))
    data = [(e.prompt, e.completion) for e in examples(30, carries=False)]
    said: list[str] = []

    class Heard(fewfit.run.watch.Callbacks):
        def begin(self, info) -> None:
            said.extend(info.notices)

    done = fewfit.fit(data, model=model, tokenizer=byte_level(), budget=115, out=tmp_path / "run", watch=Heard())
    record = json.loads((done.folder / "run.json").read_text())
    assert record["halvings"] == [15, 20] and len(record["lanes"]) == 15
    assert any("the worse half leaves after example 15 and 20" in notice for notice in said)
    last = {lane["name"]: max(r["i"] for r in read(done.folder) if r["lane"] == lane["name"]) for lane in done.lanes}
    assert sum(i <= 15 for i in last.values()) >= 5
    assert sum(i <= 20 for i in last.values()) >= 8
    kinds = {Lane.from_json(lane).kind for lane in record["lanes"]}
    assert kinds == {lane["kind"] for lane in done.lanes if last[lane["name"]] == 30}
