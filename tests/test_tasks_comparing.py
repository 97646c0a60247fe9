"""Rows held against each other: better, equal or worse, over tasks, and what may not be mixed."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest

from fewfit.errors import UserError
from fewfit.suites import studies
from fewfit.suites.studies import size
from fewfit.suites.tasks import paper
from fewfit.suites.tasks.comparing import Difference, Mean, between_models, counts, differences, of_tasks, overall


def row(condition: str, scores: str, *, seed: int = 0, task: str = "t", n: int = 10, **more: Any) -> dict[str, Any]:
    accuracy = fmean(map(int, scores))
    where = {"model": "m", "task": task, "n": n, "seed": seed, "condition": condition}
    return where | {"scores": scores, "accuracy": accuracy, "trained_tokens": 0} | more


def test_better_equal_and_worse_are_told_apart_example_by_example() -> None:
    """Against the better parent. Break seen to fail: against the worse one."""
    some = [
        *(row("icl+ft", "1" * 50 + "0" * 50, task=name) for name in "abc"),
        row("icl", "0" * 60 + "1" * 40, task="a"),
        row("ft", "1" * 10 + "0" * 90, task="a"),
        row("icl", "1" * 30 + "0" * 70, task="b"),
        row("ft", "1" * 10 + "0" * 90, task="b"),
        row("icl", "1" * 50 + "0" * 50, task="c"),
        row("ft", "1" * 90 + "0" * 10, task="c"),
    ]
    found = {one.task: one for one in differences(some, "icl+ft", ("icl", "ft"))}
    assert [found[name].other for name in "abc"] == ["icl", "icl", "ft"]
    assert [found[name].says for name in "abc"] == ["equal", "better", "worse"]
    # The same means, and pairs that agree: surer than where hits are others'.
    assert found["b"].value.value == pytest.approx(0.2) and found["a"].value.value == pytest.approx(0.1)
    assert found["b"].value.low > 0 > found["a"].value.low
    assert counts(found.values()) == {"better": 1, "equal": 1, "worse": 1}
    assert overall([found["a"], found["b"]]) is None


def test_tasks_are_as_many_as_they_are_and_not_their_sizes() -> None:
    """Student's interval by hand: of 0.1, 0.2 and 0.3 it is 0.2 ± 4.303 × 0.1 / √3.

    Break seen to fail: each size counted as a task of its own.
    """
    values = {"a": "1" * 10 + "0" * 90, "b": "1" * 20 + "0" * 80, "c": "1" * 30 + "0" * 70}
    some = [
        one
        for task, scores in values.items()
        for n in (10, 30)
        for one in (row("x", scores, task=task, n=n), row("y", "0" * 100, task=task, n=n))
    ]
    mean = overall(differences(some, "x", ("y",)))
    assert mean is not None and mean.value == pytest.approx(0.2)
    assert (mean.low, mean.high) == pytest.approx((0.2 - 0.2484, 0.2 + 0.2484), abs=1e-3)


def test_seeds_are_paired_with_themselves() -> None:
    some = [row("a", "1100", seed=0), row("a", "1111", seed=1), row("b", "1100", seed=1), row("b", "1111", seed=2)]
    (found,) = differences(some, "a", ("b",))
    assert found.value.value == pytest.approx(0.5)


def test_runs_are_paired_with_their_like() -> None:
    """One seed in two dtypes is two runs; what two machines made of one run counts as their mean.

    Break seen to fail: pairs by seed alone, of which the last row counts.
    """
    some = [
        row("a", "1100", dtype="bfloat16"), row("a", "1111", dtype="float32"), row("a", "0000", dtype="float16"),
        row("b", "0011", dtype="float32"), row("b", "1100", dtype="bfloat16"), row("b", "0000", dtype="bfloat16"),
    ]  # fmt: skip
    (found,) = differences(some, "a", ("b",))
    # bfloat16: ½ ½ 0 0; float32: 1 1 0 0.
    assert found.value.value == pytest.approx(0.375)
    assert differences(some[2:4], "a", ("b",)) == []


@pytest.mark.parametrize("mixed", ["data", "test", "lanes"])
def test_what_is_alike_by_name_alone_is_refused(mixed: str) -> None:
    """Break seen to fail: rows of joined files taken as they come."""
    some = [row("a", "1100", **{mixed: 1}), row("b", "1100", **{mixed: 1}), row("a", "1111", seed=1, **{mixed: 2})]
    with pytest.raises(UserError, match=f"m, t, n = 10: rows of several {mixed}"):
        differences(some, "a", ("b",))


def test_models_are_compared_whatever_dtype_each_ran_in() -> None:
    some = [
        row("ft", "1111", dtype="float32") | {"model": "small"},
        row("icl", "1100", dtype="bfloat16") | {"model": "large"},
    ]
    assert [one.value.value for one in between_models(some)] == [0.5]


def test_a_task_against_another_is_not_paired_with_a_test_of_another_size() -> None:
    some = [row("ft", "1100", task="a", test=4), row("ft", "100", task="b-to-a", test=3)]
    assert of_tasks(some, "b-to-a", "a") == []


def test_a_few_tasks_that_agree_are_no_surer_than_their_test_examples() -> None:
    """Three tasks at .05, each ± .12: over tasks ± .12 / √3, and Student's alone ± 0. Two sizes of a task err alike.

    Break seen to fail: Student's interval alone.
    """
    some = [Difference("m", task, n, "x", "y", Mean(0.05, -0.07, 0.17)) for task in "abc" for n in (10, 30)]
    mean = overall(some)
    assert mean is not None and mean.value == pytest.approx(0.05)
    assert (mean.low, mean.high) == pytest.approx((0.05 - 0.0693, 0.05 + 0.0693), abs=1e-4)


def test_another_dtype_is_no_other_order() -> None:
    """Break seen to fail: rows counted in place of seeds."""
    some = [row("ft", "1100", dtype=one, test=4) for one in ("bfloat16", "float32")]
    assert studies.study("order").report(some, []) == []
    (line,) = studies.study("order").report([*some, row("ft", "1110", seed=1, test=4)], [])
    assert "50 to 75 over 2 orders" in line


@pytest.mark.parametrize(
    ("values", "n"),
    [
        ([0.1, 0.2], None),
        ([0.1, -0.1, 0.0], 30),
        ([0.1, -0.1, 0.1], None),
        ([-0.1, -0.1, 0.0], 10),
        ([0.1, 0.1, 0], 100),
    ],
)
def test_where_ft_has_caught_up(values: list[float], n: int | None) -> None:
    assert size.crossing(list(zip((10, 30, 100), values))) == n


def test_the_study_of_size_tells_the_crossing_and_its_cost() -> None:
    some = [
        row("ft", "10" * 20, n=10, trained_tokens=100), row("icl+ft", "11" * 20, n=10, trained_tokens=500),
        row("ft", "11" * 20, n=30, trained_tokens=300), row("icl+ft", "10" * 20, n=30, trained_tokens=1500),
    ]  # fmt: skip
    study = studies.study("size")
    (line,) = study.report(some, differences(some, "icl+ft", ("ft",)))
    assert "caught up at n = 30" in line and "300 tokens where ICL+FT had 1,500" in line


@pytest.mark.parametrize(
    ("ft", "both"),
    [
        ({10: "1111111100"}, {10: "1111111000"}),
        ({10: "1111111100", 30: "1111111111"}, {10: "1111111110", 30: "1111111111"}),
        ({10: "1111111111", 30: "1111111111"}, {10: "0000000000", 30: "0000000000"}),
        ({10: "0000000000", 30: "1111111100"}, {10: "1111111111", 30: "1111111110"}),
    ],
    ids=["one size", "never surely above", "above from the first", "still above by the point"],
)
def test_no_crossing_is_told_of_what_shows_none(ft: dict[int, str], both: dict[int, str]) -> None:
    """Break seen to fail: by the sign of the points."""
    told = {"ft": ft, "icl+ft": both}
    some = [row(name, scores * 4, n=n, trained_tokens=9) for name, by_n in told.items() for n, scores in by_n.items()]
    (line,) = studies.study("size").report(some, differences(some, "icl+ft", ("ft",)))
    assert "no crossing was seen" in line and f"points at n = {max(ft)})" in line


def test_the_papers_figures_are_theirs() -> None:
    """Copied right: the means of the tabulated tasks are those that it states.

    Break seen to fail: one figure of published.json changed by 10 points.
    """
    told = paper.published()
    tables = [name for name in told["prequential"] if name != "what"]
    bbh, nlp = tables[:23], tables[23:]
    assert len(nlp) == 11
    means = {
        (len(names), kind): [round(fmean(told["prequential"][one][kind][k] for one in names), 1) for k in range(3)]
        for names in (bbh, nlp)
        for kind in paper.KINDS
    }
    assert means[23, "ft"] == pytest.approx([35.2, 61.2, 68.4], abs=0.11)
    assert means[23, "icl+ft"] == pytest.approx([60.7, 74.5, 77.9], abs=0.11)
    assert means[11, "ft"] == pytest.approx([70.9, 76.3, 78.1], abs=0.11)
    assert means[11, "icl+ft"] == pytest.approx([80.3, 83.4, 84.1], abs=0.11)
    assert paper.source() == "arXiv 2512.19879"
