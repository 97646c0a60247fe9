"""Studies of how many shots, and one model tuned against another prompted: what they make of rows."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from test_tasks_suite import made

from fewfit.engine.shots import most_shots
from fewfit.errors import UserError
from fewfit.models.local import Loaded
from fewfit.suites import studies
from fewfit.suites.studies import curve as curve_study
from fewfit.suites.studies import ttt
from fewfit.suites.tasks import suite
from fewfit.suites.tasks.comparing import between_models, summary
from fewfit.suites.tasks.planning import planned
from fewfit.suites.tasks.suite import Asked


def row(model: str, condition: str, scores: str, *, task: str = "t", n: int = 10, **more: Any) -> dict[str, Any]:
    where = {"model": model, "task": task, "n": n, "seed": 0, "condition": condition, "data": f"of {task}"}
    return where | {"scores": scores, "accuracy": fmean(map(int, scores)), "trained_tokens": 0} | more


# ---- the curve -------------------------------------------------------------------------------------------------------


def cell_of(task: str, nats: dict[int, float], icl: dict[int, str], third: dict[int, float], n: int = 30) -> list[Any]:
    told = {name: {str(k): v for k, v in some.items()} for name, some in (("curve", nats), ("curve_of_third", third))}
    return [row("m", f"icl-{k}", scores, task=task, n=n, **told) for k, scores in icl.items()]


def test_what_taking_the_curves_best_would_have_lost() -> None:
    """By hand. Breaks seen to fail: the best of the curve its highest; accuracy lost against always none."""
    icl = {0: "0000000000", 1: "1111100000", 4: "1111111100"}
    rows = [
        *cell_of("a", {0: 3.0, 1: 1.0, 4: 0.5}, icl, {0: 3.0, 1: 0.5, 4: 1.0}),
        *cell_of("b", {0: 0.5, 1: 1.0, 4: 3.0}, icl, {0: 3.0, 1: 1.0, 4: 0.5}),
    ]
    a, b = curve_study.cells(rows, "m")
    assert (a.correlation, b.correlation) == pytest.approx((1.0, -1.0))
    assert (a.lost_by("curve"), b.lost_by("curve")) == pytest.approx((0.0, 0.8))
    lines = curve_study.report(rows, [])
    assert lines[0] == "m, a, n = 30, icl: 4 shots on the test, by the curve 4"
    assert lines[1] == "m, b, n = 30, icl: 4 shots on the test, by the curve 0"
    assert "rank correlation 0.00 over 2 tasks" in lines[2]
    assert "the curve's best 40.0, the best by a third of the examples 15.0, always 0 80.0" in lines[2]
    assert lines[2].endswith("always 1 30.0, always 4 0.0")


def test_shots_that_no_curve_has_are_not_among_them() -> None:
    """Of 10 examples none is left that 16 stand before."""
    nats = {k: 1.0 + k for k in (0, 1, 2, 4, 8)}
    rows = cell_of("a", nats, {1: "1000", 8: "1100", 16: "1111"}, {}, n=10)
    (cell,) = curve_study.cells(rows, "m")
    assert list(cell.accuracy) == [1, 8] and cell.lost_by("curve") == pytest.approx(0.25)
    assert cell.lost_by("curve_of_third") is None
    assert "third" not in curve_study.report(rows, [])[-1]


def test_shots_that_the_report_would_drop_are_not_run(loaded: Loaded, tmp_path: Path) -> None:
    """Nor planned. Break seen to fail: all conditions at every n."""
    every = studies.study("curve").conditions
    asked = Asked("m", (made(48, 6),), (10, 18, 19), every)
    names = {n: {one.name for one in asked.conditions_at(n)} for n in (10, 18, 19)}
    assert names[19] - names[18] == {"icl-16", "icl+ft-16"} and names[18] == names[10]
    assert all(one.lanes[0].shots <= most_shots(10) for one in asked.conditions_at(10))
    assert names[19] == {one.name for one in every}
    few = tuple(one for one in every if one.name in ("icl-0", "icl-16"))
    rows = suite.run(Asked("tiny", (made(),), (4,), few, alone=True), loaded, tmp_path)
    assert [row["condition"] for row in rows] == ["icl-0"]
    with pytest.raises(UserError, match="give 19 or more"):
        Asked("m", (made(),), (10,), few[1:])


def test_the_plan_leaves_out_what_is_not_run() -> None:
    """Break seen to fail: the study's whole list of conditions reckoned."""
    every = studies.study("curve").conditions
    less = tuple(one for one in every if "16" not in one.name)
    tokens = [planned(Asked("lab", (made(48, 6),), (10,), some, curve=curve))["tokens"]
              for some, curve in ((every, curve_study.SHOTS), (less, curve_study.SHOTS[:-1]))]  # fmt: skip
    assert tokens[0] == tokens[1] > 0


@pytest.mark.slow
def test_rows_hold_the_curve_of_their_own_examples(loaded: Loaded, tmp_path: Path) -> None:
    """A third of 36 examples are the 12 of the smaller cell."""
    conditions = tuple(one for one in studies.study("curve").conditions if one.name in ("icl-0", "icl-1"))
    asked = Asked("tiny", (made(48, 6),), (12, 36), conditions, alone=True, curve=curve_study.SHOTS)
    rows = suite.run(asked, loaded, tmp_path)
    small, large = ([one for one in rows if one["n"] == n] for n in (12, 36))
    for one in rows:
        assert [int(k) for k in one["curve"]] == [k for k in curve_study.SHOTS if k <= most_shots(one["n"])]
    assert small[0]["curve"] == small[1]["curve"] == pytest.approx(large[0]["curve_of_third"], abs=1e-3)
    assert small[0]["curve"] != pytest.approx({k: large[0]["curve"][k] for k in small[0]["curve"]}, abs=1e-3)
    assert suite.run(asked, loaded, tmp_path) == rows


# ---- test-time training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", studies.study("ttt").budgets)
def test_test_time_training_has_all_examples_in_its_prompts(n: int) -> None:
    """In the bundle as in training afresh; what it is compared with makes as many updates."""
    named = {one.name: one.lanes[0] for one in studies.study("ttt").conditions}
    assert named["ttt"] == named["ttt-stream"] == ttt.TTT
    assert n <= ttt.TTT.shots and named["icl-all"].shots == ttt.TTT.shots
    assert (ttt.TTT.lr, ttt.TTT.updates) == (named["icl+ft"].lr, named["icl+ft"].updates)


# ---- models ----------------------------------------------------------------------------------------------------------


def test_one_model_tuned_against_another_prompted_both_ways_round() -> None:
    """Against the other's better prompting, example by example. Breaks seen to fail: a model against itself; examples
    of other tests paired."""
    rows = [
        row("small", "icl+ft", "1" * 60 + "0" * 40),
        row("small", "icl", "1" * 20 + "0" * 80),
        row("large", "zero-shot", "0" * 90 + "1" * 10),
        row("large", "icl", "1" * 40 + "0" * 60),
        row("large", "icl+ft", "1" * 20 + "0" * 80),
        row("small", "icl+ft", "1" * 100, task="other"),
        row("large", "icl", "0" * 100, task="other", data="of other examples"),
    ]
    found = between_models(rows)
    told = [(one.model, one.this, one.other, one.says) for one in found]
    assert told == [
        ("small and large", "icl+ft of small", "icl of large", "better"),
        ("small and large", "icl+ft of large", "icl of small", "equal"),
    ]
    assert found[0].value.value == pytest.approx(0.2) and found[1].value.value == 0
    assert summary(found).endswith("better in 1, equal in 1, worse in 0 of 2 (task × n)")
    assert between_models([one for one in rows if one["model"] == "small"]) == []


def test_two_models_are_shown_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    from fewfit.cli.suite.cells import show_models

    rows = [row(model, way, "10" * 10, task=task) for model in "ab" for way in ("icl", "ft") for task in "xyz"]
    show_models(rows)
    shown = capsys.readouterr().out
    assert "ft of a over b prompted" in shown and "ft of b over a prompted" in shown
    assert "ft of a against the better prompting of b: by 0 (-9 to 9) points, better in 0, equal in 3" in shown
    show_models([one for one in rows if one["model"] == "a"])
    assert capsys.readouterr().out == ""
