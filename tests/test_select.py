"""From prediction rows to a verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from select_made import BOTH, EVERY, FT1, FT5, ICL4, ICL8, ZERO, FakeLane, chosen, hits, predictions

from fewfit.errors import NoUsableLane
from fewfit.select import more_examples, select


def test_equal_lanes_go_to_the_cheapest() -> None:
    """Zero-shot, ft, icl, icl+ft; then fewer shots, fewer updates, the name; whatever order they are given in.

    Break seen to fail: `KINDS_CHEAPEST_FIRST` with icl before ft; updates before shots."""
    same = hits(20, 0.5)
    left = [BOTH, ICL8, ICL4, FT5, FT1, ZERO]
    expected = [ZERO, FT1, FT5, ICL4, ICL8, BOTH]
    while left:
        assert chosen(dict.fromkeys(left, same)).best.name == expected[0].name
        left.remove(expected.pop(0))
    twin = replace(BOTH, shots=8, updates=0, name="a")
    assert chosen({twin: same, BOTH: same}).best.name == BOTH.name
    assert chosen({replace(FT1, name="z"): same, FT1: same}).best.name == "ft-u1"


def test_dropped_and_diverged_lanes_cannot_win() -> None:
    """Nor can a lane that lacks a row, whatever its status says.

    Break seen to fail: `can_win_L = complete_L`."""
    scores = {ZERO: hits(30, 0.6), FT1: [1.0] * 30, BOTH: [1.0] * 30, ICL8: [1.0] * 29}
    found = chosen(scores, statuses={"zero-shot": "done", "ft-u1": "dropped", "icl4+ft": "diverged", "icl-8": "done"})
    assert found.best.name == "zero-shot"
    assert found.best_of_kind == {"zero-shot": "zero-shot"}
    assert [lane.status for lane in found.lanes] == ["done", "dropped", "diverged", "done"]
    assert "Nothing else than the bare prompt finished" in found.verdict
    with pytest.raises(NoUsableLane):
        chosen(scores, statuses={lane.name: "diverged" for lane in scores})
    with pytest.raises(NoUsableLane):
        select([], [ZERO], metric="exact")


def test_without_statuses_a_lane_is_done_that_has_all_rows() -> None:
    """Break seen to fail: every lane `done`."""
    found = chosen({ZERO: hits(30, 0.4), FT1: [1.0] * 12})
    assert [lane.status for lane in found.lanes] == ["done", "dropped"]
    assert found.lanes[1].n == 12


def test_a_score_that_is_no_number_is_a_miss() -> None:
    """A lane gone to NaN keeps its rows, and they are wrong.

    Break seen to fail: a NaN score kept, which means that there is no row."""
    rows = predictions({ZERO: hits(4, 0.5), FT1: [1.0, float("nan"), float("nan"), float("nan")]})
    lane = select(rows, [ZERO, FT1], metric="exact", statuses={"ft-u1": "diverged"}).lanes[1]
    assert (lane.n, lane.prequential, lane.score) == (4, 0.25, 0.0)


def test_plain_figures_of_a_lane() -> None:
    """The whole stream; and as it would be delivered: of a lane that learns the last half of what it predicted, of one
    that prompts all rows that had their demonstrations.

    Breaks seen to fail: the half of the longest lane for every lane; the last half of a lane that only prompts."""
    graded = [0.0, 0.5, 1.0, 0.5, 1.0, 0.8]
    many = [0.0, 1.0, 0.0, 1.0, *[1.0] * 5, 0.0]
    scores = {FT1: graded, FT5: [0, 0, 0, 1], ICL4: many, ZERO: [0.0, 1.0, *[0.0] * 8]}
    ft, other, icl, zero = select(predictions(scores), [*scores], metric="chrf").lanes
    assert (ft.n, other.n) == (6, 4)
    assert ft.prequential == pytest.approx(3.8 / 6)
    assert ft.score == pytest.approx(2.3 / 3)
    assert ft.accuracy == pytest.approx(2 / 6)
    assert ft.nll == pytest.approx((4 * 1.5 + 2 * 0.2) / 6)
    assert (other.prequential, other.score) == (0.25, 0.5)
    assert zero.score == pytest.approx(0.1) and icl.interval[0] < 5 / 6 < icl.interval[1]
    assert icl.tokens == 9


def test_windows_are_by_place_within_each_seed() -> None:
    """Two seeds of four: places 3 and 4 of both are the last half.

    Break seen to fail: rows sorted by (i, seed) and cut in the middle of their number; places counted on over seeds."""
    rows = predictions({ZERO: [0, 0, 1, 1]}) + predictions({ZERO: [0, 0, 1, 0]}, seed=1)
    for row, example in zip(rows[4:], ("e3", "e1", "e4", "e2"), strict=True):
        row["id"] = example
    for row in rows:
        row["lane"] = FT1.name
    (lane,) = select(rows, [FT1], metric="exact").lanes
    assert (lane.n, lane.score, lane.prequential) == (4, 0.75, 0.375)


def test_the_rows_of_a_choice_are_judged_by_the_right_choice_among_all() -> None:
    """Under `choice` a label with many unlikely spellings is no worse: the likelihood is that among the choices.

    Break seen to fail: `if metric == "exact"` before reading the probabilities."""
    scores = {ZERO: hits(12, 0.5), FT1: hits(12, 0.5)}
    rows = predictions(scores)
    for row in rows:
        sure = 0.9 if row["lane"] == "ft-u1" else 0.4
        row["probs"] = {row["gold"]: sure, "other": 1 - sure}
        row["nll"] = 9.0 if row["lane"] == "ft-u1" else 0.1
    assert select(rows, [ZERO, FT1], metric="choice").best.name == "ft-u1"
    assert select(rows, [ZERO, FT1], metric="exact").best.name == "zero-shot"


def test_without_a_likelihood_in_one_lane_nobody_is_judged_by_it() -> None:
    """Break seen to fail: a missing likelihood read as 0 nats."""
    scores = {ZERO: hits(30, 0.5), ICL4: [*hits(30, 0.5)[:-8], *[1.0] * 8]}
    rows = predictions(scores)
    for row in rows:
        row["nll"] = None if row["lane"] == "zero-shot" else 4.0
    found = select(rows, [ZERO, ICL4], metric="exact")
    assert found.best.name == "icl-4"
    assert found.lanes[0].nll is None
    asked = select(rows, [ZERO, ICL4], metric="exact", criterion="nll")
    assert (asked.best.name, asked.criterion) == ("icl-4", "accuracy")
    assert any("no likelihood" in warning for warning in asked.warnings)


def test_the_criterion_can_be_chosen() -> None:
    """A lane of many hits that is badly surprised by its misses.

    Break seen to fail: the criterion not handed to `choose`."""
    rows = predictions({ZERO: hits(40, 0.6), FT1: hits(40, 0.7)})
    for row in rows:
        if row["lane"] == "ft-u1":
            row["nll"] = 5.0
    pick = {c: select(rows, [ZERO, FT1], metric="exact", criterion=c).best.name for c in ("accuracy", "nll", "z23")}
    assert pick == {"accuracy": "ft-u1", "nll": "zero-shot", "z23": "zero-shot"}


def test_a_verdict_that_is_settled_and_one_that_is_not() -> None:
    """Break seen to fail: `says` from the point alone; the prompting side without icl."""
    found = chosen({ZERO: hits(80, 0.3), ICL4: hits(80, 0.4, 1), FT1: hits(80, 0.9, 2), BOTH: hits(80, 0.95)})
    assert found.best.name == "icl4+ft"
    beats, open_one = found.comparison("icl+ft", "prompting"), found.comparison("icl+ft", "ft")
    assert (beats.says, beats.other_lane, open_one.says) == ("better", "icl-4", "not settled")
    assert beats.interval[0] > 0 > open_one.interval[0]
    low, high = (round(100 * end) for end in beats.interval)
    assert found.verdict.startswith(
        "Lean to the tuned model with 4 examples in the prompt (icl4+ft): it leads, but 80 "
    )
    rival = round(100 * found.lane("icl-4").score)
    says = f" Prompting alone (icl-4) scores {rival}, at 9 tokens a prompt: worse, by {low} to {high} points (95%). "
    assert says in found.verdict and not found.settled
    assert "Tuning without examples in the prompt (ft-u1) scores " in found.verdict
    sure = chosen({ZERO: hits(80, 0.1), FT1: [1.0] * 80})
    assert sure.settled and sure.verdict.startswith("Use the tuned model without examples (ft-u1). Expect about ")
    assert beats.more is None and open_one.more is not None and open_one.more > 0


def test_a_comparison_reads_the_same_from_both_sides() -> None:
    """Break seen to fail: `turned` without exchanging the ends."""
    found = chosen({ZERO: hits(40, 0.3), FT1: hits(40, 0.9)})
    one, two = found.comparison("ft", "zero-shot"), found.comparison("zero-shot", "ft")
    assert (one.says, two.says) == ("better", "worse")
    assert two.interval == (-one.interval[1], -one.interval[0]) and two.difference == -one.difference
    assert two.prequential_interval == (-one.prequential_interval[1], -one.prequential_interval[0])
    with pytest.raises(KeyError):
        found.comparison("ft", "icl")


def test_prompting_is_better_only_so_far_where_tuning_still_rises() -> None:
    """And where tuning has stopped rising, without that; tuning's own lead needs no such care.

    Break seen to fail: `tuning_rises` of the winning side; the flag left out of the clause."""
    rising = [0.0] * 50 + hits(25, 0.25)
    flat = hits(75, 0.1)
    behind = chosen({ICL4: [1.0] * 75, FT1: rising})
    assert behind.comparison("icl", "ft").so_far
    assert "worse so far (ft-u1 is still rising), by " in behind.verdict and not behind.settled
    settled = chosen({ICL4: [1.0] * 75, FT1: flat})
    assert settled.comparison("icl", "ft").says == "better" and not settled.comparison("icl", "ft").so_far
    assert "so far" not in settled.verdict
    ahead = chosen({ICL4: flat, FT1: hits(50, 0.5) + [1.0] * 25})
    assert ahead.best.rising and ahead.comparison("ft", "icl").says == "better"
    assert not ahead.comparison("ft", "icl").so_far
    assert any("ft-u1 is still rising" in warning for warning in ahead.warnings)


def test_a_kind_that_is_called_worse_is_not_recommended() -> None:
    """The likelihood may put a lane first that is surely less often right.

    Break seen to fail: `better_than` looks at the other side of a comparison."""
    rows = predictions({ZERO: hits(80, 0.3), FT1: hits(80, 0.95)})
    for row in rows:
        row["nll"] = 5.0 if row["lane"] == "ft-u1" else 0.01
    found = select(rows, [ZERO, FT1], metric="exact", criterion="nll")
    assert found.leader == "zero-shot" and found.best.name == "ft-u1" and found.settled


def test_one_kind_alone_says_so_and_two_kinds_of_prompting_are_compared() -> None:
    """Break seen to fail: `others` never filled with kinds."""
    alone = chosen({FT1: hits(30, 0.5), FT5: hits(30, 0.6)})
    assert (
        "Nothing else than tuning without examples in the prompt was run" in alone.verdict and alone.comparisons == ()
    )
    assert chosen({ZERO: hits(60, 0.2), ICL4: [1.0] * 60}).verdict.find("The bare prompt (zero-shot) scores 20") > 0
    assert chosen({ZERO: [1.0] * 9, ICL4: [1.0] * 9}).verdict.find("points worse (95%); too close to call.") > 0


@pytest.mark.parametrize(("metric", "has"), [("choice", True), ("match", True), ("rouge-l", False), ("json", False)])
def test_generated_metrics_have_no_majority(metric: str, has: bool) -> None:
    """Break seen to fail: a majority for every metric."""
    found = select(predictions({ZERO: hits(8, 0.5)}), [ZERO], metric=metric)
    assert (found.majority is not None) == has
    assert (found.as_json()["majority"] is not None) == has


def test_the_order_of_the_examples_is_always_mentioned() -> None:
    """Break seen to fail: `selection.seeds > 1`."""
    rows = predictions({ZERO: hits(8, 0.5)})
    assert "this order" in select(rows, [ZERO], metric="exact").warnings[-1]
    assert "these 2 orders" in select(rows + [{**row, "seed": 1} for row in rows], [ZERO], metric="exact").warnings[-1]


def test_how_many_more_by_hand() -> None:
    """4 points with a lower end at -6: ten points of reach must become four, with 80% power 4 / 1.43. So 40 examples
    must become 40 (10 * 1.43 / 4)^2 = 510.

    Break seen to fail: POWER = 0; the wrong end for a negative point."""
    assert more_examples(0.04, -0.06, 0.14, 40) == 511 - 40
    assert more_examples(-0.04, -0.20, 0.06, 40) == 511 - 40
    assert more_examples(0.004, -0.1, 0.1, 40) is None


def test_the_json_is_what_fit_promises() -> None:
    """Break seen to fail: a lane's `nll` left out."""
    found = chosen({ZERO: hits(20, 0.5), FT1: hits(20, 0.8)}).as_json()
    assert set(found) == {
        "best", "metric", "score", "interval", "prequential", "prequential_interval", "majority", "majority_answer",
        "verdict", "settled", "lanes", "kind", "leader", "n", "seeds", "criterion", "flat", "nothing_learnt", "rising",
        "best_of_kind", "comparisons",
    }  # fmt: skip
    assert set(found["lanes"][0]) == {
        "name", "model", "kind", "shots", "lr", "updates", "n", "prequential", "score", "interval", "accuracy", "nll",
        "tokens", "status", "shots_at_use", "rising", "counted_from",
    }  # fmt: skip
    assert found["best"] == "ft-u1" and found["lanes"][0]["name"] == "zero-shot"
    assert found["interval"][0] <= found["score"] <= found["interval"][1]


@st.composite
def any_run(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[FakeLane], dict[str, str]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lanes = draw(st.lists(st.sampled_from(EVERY), min_size=1, unique=True))
    n, level = draw(st.integers(1, 32)), draw(st.sampled_from([0.0, 0.5, 1.0]))
    rows: list[dict[str, Any]] = []
    statuses = {lane.name: "done" for lane in lanes}
    for seed in range(draw(st.integers(1, 2))):
        order = rng.permutation(n)
        for position, lane in enumerate(lanes):
            length = n
            if position and position % 3 == 0:
                statuses[lane.name], length = ("dropped", "diverged")[position % 2], int(rng.integers(0, n + 1))
            made = predictions({lane: (rng.random(length) < level).astype(float)}, seed=seed, nll=draw(st.booleans()))
            for row in made:
                row["id"] = int(order[row["i"] - 1])
                if statuses[lane.name] == "diverged":
                    row["nll"], row["score"] = float("nan"), float("nan")
            rows += made
    return rows, lanes, statuses


@settings(derandomize=True, deadline=None, max_examples=80)
@given(any_run(), st.sampled_from(["z23", "accuracy", "nll"]))
@pytest.mark.filterwarnings("error")
def test_any_run_gives_strict_json(run: tuple[Any, ...], criterion: str) -> None:
    """One lane, one kind, one example, all right, all wrong, no likelihood, NaN in a diverged lane: no NaN comes out,
    and everything that is an interval is one.

    Break seen to fail: `mean_or_none` without its None."""
    rows, lanes, statuses = run
    found = select(rows, lanes, metric="exact", statuses=statuses, criterion=criterion)
    json.dumps(found.as_json(), allow_nan=False)
    for each in found.comparisons:
        assert -1 <= each.interval[0] <= each.interval[1] <= 1
        assert np.isfinite([each.difference, each.prequential, *each.prequential_interval]).all()
    assert found.verdict.endswith(".") and "nan" not in found.verdict
    assert statuses[found.best.name] == "done"
