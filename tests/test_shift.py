"""What is said of a test file that is not like the examples."""

from __future__ import annotations

import json

import fewfit
from fewfit.examples.example import Example
from fewfit.run.shift import label_shares, warnings


def of(labels: str, begin: int = 0) -> list[Example]:
    return [Example(str(k), f"text {k}", label) for k, label in enumerate(labels, begin)]


def test_other_shares_of_the_labels_are_said_where_chance_does_not_make_them() -> None:
    """Break seen to fail: the share of the wrong side."""
    ours, same, other = of("ab" * 30), of("ab" * 50, 100), of("a" * 80 + "b" * 20, 100)
    assert label_shares(ours, other) == {"examples": {"a": 0.5, "b": 0.5}, "test": {"a": 0.8, "b": 0.2}}
    assert warnings(ours, same, True) == []
    (told,) = warnings(ours, other, True)
    assert "'a' is 80 of 100 there and 50 here" in told
    assert warnings(ours[:6], of("aaab", 100), True) == []  # four against six say nothing
    assert warnings(ours, other, False) == []  # free text has no labels


def test_prompts_that_stand_in_both_are_counted() -> None:
    """Break seen to fail: ids compared."""
    ours = of("ab" * 10)
    again = [Example("x", "text 3", "b"), Example("3", "something else", "a"), Example("y", "text 4", "a")]
    (told,) = warnings(ours, again, False)
    assert told.startswith("2 of the 3 test prompts stand in the examples too")


def test_a_run_says_both_and_shows_the_labels(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [(one.prompt, {"a": "left", "b": "right"}[one.completion]) for one in of("ab" * 15)]
    test = [(f"new {k}", "left") for k in range(40)] + rows[:2]
    run = fewfit.fit(rows, "lab", methods=["zero-shot"], test=test, out="run")
    assert run.result["labels"]["test"]["left"] == 41 / 42 and run.result["labels"]["examples"]["left"] == 0.5
    said = json.loads((run.folder / "result.json").read_text())["warnings"]
    assert any("2 of the 42 test prompts" in one for one in said) and any("other labels" in one for one in said)
