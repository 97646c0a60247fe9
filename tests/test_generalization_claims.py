"""The claims by model and world, and the table that the docs show of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.inferences import COLUMNS, misled, table
from benchmarks.records import markdown
from fewfit.suites.generalization.tabulate import reached, tabulate
from fewfit.suites.generalization.worlds import build

ROOT = Path(__file__).resolve().parents[1]


def row(model: str, split: str, condition: str, hits: str, *, passes: int = 6) -> dict[str, Any]:
    where = {"model": model, "names": "plausible", "world": "curse", "split": split, "condition": condition}
    return {**where, "passes": passes, "seed": 0, "hits": hits, "chance": 0.25, "status": "done"}


def test_each_model_is_judged_by_its_own_rows_of_the_usual_passes() -> None:
    """Break seen to fail: the last row of a cell, of whatever passes."""
    some = [
        row("one", "rephrasing", "ft", "1" * 100),
        row("one", "reversal", "ft", "0" * 100),
        row("one", "reversal", "icl", "1" * 100, passes=0),
        row("one", "reversal", "ft", "1" * 100, passes=24),
        row("two", "reversal", "ft", "1" * 100, passes=24),
        row("two", "reversal", "icl", "0" * 100, passes=0),
        {**row("two", "reversal", "ft+truth", ""), "hits": None, "accuracy": None, "status": "diverged"},
    ]
    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in tabulate(some).splitlines()]
    assert [(model, claim, verdict) for model, _, claim, verdict, _ in told[2:]] == [
        ("one", "a", "holds"), ("one", "b", "holds"), ("two", "b", "does not hold"),
    ]  # fmt: skip


def test_worlds_of_other_sizes_are_not_compared() -> None:
    """Nor is what was only looked at. Break seen to fail: rows told apart by seed and dtype alone."""
    small = [row("one", "reversal", "ft", "0" * 100) | {"data": "a"}, row("one", "reversal", "icl", "1" * 100)]
    small[1] |= {"data": "a"}
    quick = [one | {"hits": "10", "data": "b", "quick": True} for one in small]
    paper = [one | {"hits": "01" * 70, "data": "c", "scale": "paper"} for one in small]
    rate = [one | {"hits": "1" * 100, "lr": 3e-4} for one in small[:1]]
    found = tabulate([*quick, *small, *rate, *paper])
    assert tabulate(small).splitlines()[2:] == [line for line in found.splitlines()[2:] if "paper" not in line]
    assert "curse, plausible, paper | b | not settled | icl less ft: 0 (" in found


def test_figures_are_told_by_seed() -> None:
    seeds = [
        row("one", "reversal", condition, hits) | {"seed": seed}
        for seed, icl in enumerate(("1" * 50, "10" * 25))
        for condition, hits in (("icl", icl), ("ft", "0" * 50))
    ]
    assert ", by seed 100, 50 |" in tabulate(seeds)


def test_the_docs_show_what_the_recorded_rows_say() -> None:
    path = ROOT / "results" / "generalization.jsonl"
    if not path.exists():
        pytest.skip("no results here")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    docs = (ROOT / "docs" / "generalization.md").read_text()
    assert reached(rows) in docs and tabulate(rows) in docs


def test_the_docs_show_how_true_the_recorded_inferences_are() -> None:
    path = ROOT / "results" / "generalization-inferences.jsonl"
    if not path.exists():
        pytest.skip("no results here")
    head, _, *told = markdown(
        [COLUMNS, *table([json.loads(line) for line in path.read_text().splitlines()])]
    ).splitlines()
    docs = (ROOT / "docs" / "generalization.md").read_text()
    assert len(told) > 10 and [line for line in (head, *told) if line not in docs] == []


def test_a_wrong_option_is_told_from_its_falsehood_from_the_other_end() -> None:
    """Of inferences, as `benchmarks.inferences` counts them. Break seen to fail: any false statement of the two."""
    made = build("reversals", scale="small", seed=0, names="nonsense")
    asked = next(one for one in made.questions if one.split == "reversal")
    wrong = next(option for option in asked.options if option not in asked.right)
    subject, thing = asked.fact[-2:]
    share = 1 / sum(one.split == "reversal" for one in made.questions)
    assert misled(made, [f"{asked.prompt} {wrong}"]) == pytest.approx(share)
    assert misled(made, [f"{thing} are {asked.fact[0]} than {subject}."]) == 0.0
    assert misled(made, [f"{asked.prompt} {asked.answer}"]) == 0.0
