"""Tables and pictures of what was found, on rows whose figures can be told by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.findings import pictures, runs, tables
from benchmarks.findings.__main__ import of_studies
from benchmarks.promise.cells import NOW, Cell
from benchmarks.promise.record import LANES
from benchmarks.promise.report import fold_cost, over_tasks, run_of, stream_cost
from benchmarks.records import Lines

TASKS = ("a", "b", "c")


def row(task: str, kind: str, scores: str, *, seed: int = 0) -> dict[str, Any]:
    told = {"model": "m", "task": task, "n": 60, "seed": seed, "condition": kind, "scores": scores}
    return told | {"accuracy": scores.count("1") / len(scores)}


def rows() -> list[dict[str, Any]]:
    """Of 100 test examples right: 10 without anything, 40 prompted, 50 tuned, and 50, 70 and 90 with both."""
    said = {"zero-shot": (10, 10, 10), "icl": (40, 40, 40), "ft": (50, 50, 50), "icl+ft": (50, 70, 90)}
    return [
        row(task, kind, "1" * right + "0" * (100 - right))
        for kind, many in said.items()
        for task, right in zip(TASKS, many, strict=True)
    ]


def cells_of(line: str) -> list[str]:
    return [one.strip() for one in line.strip("|").split("|")]


def test_kinds_are_means_over_tasks_and_icl_ft_is_held_against_the_better_of_its_parents():
    told = cells_of(tables.kinds(rows()).splitlines()[-1])
    assert told[:8] == ["m", "60", "3", "1", "10", "40", "50", "70"]
    # 0, 20 and 40 points over the better parent: 20 in the mean, and three tasks are few.
    assert told[8].startswith("20 (-") and told[9] == "2 / 1 / 0"


def test_a_line_for_each_task_has_the_intervals_of_all_kinds():
    lines = tables.every_task(rows()).splitlines()[2:]
    assert [cells_of(line)[1] for line in lines] == list(TASKS)
    last = cells_of(lines[-1])
    assert last[4] == "100" and last[-1].startswith("40 (") and last[-1].endswith(": better")


def test_seeds_of_a_task_are_one_score_for_each_test_example():
    same = [row("a", "icl", "1100"), row("a", "icl", "0011", seed=1)]
    assert tables.of_seeds(same).startswith("50 (") and tables.of_seeds([]) == "–"


def test_the_choice_is_held_against_every_setting():
    some = [
        row(task, name, "1" * right + "0" * (100 - right)) for task in TASKS for name, right in (("x", 30), ("y", 60))
    ]
    some += [row(task, "chosen", "1" * 60 + "0" * 40) for task in TASKS]
    by_name = {cells_of(line)[0]: cells_of(line) for line in tables.settings(some).splitlines()[2:]}
    assert by_name["x"][3] == "30.0" and by_name["x"][4].startswith("30 (") and by_name["x"][5] == "3 / 0 / 0"
    assert by_name["y"][4].startswith("0 (") and by_name["chosen"][3] == "60.0"


def test_a_holdout_looks_at_the_first_fold_alone_and_likelihood_parts_equals():
    names = [lane.name for lane in LANES]
    hits = dict.fromkeys(names, "0" * 20)
    hits[names[2]], hits[names[3]] = "1" + "0" * 19, "01111" * 4  # the first fold holds examples 1, 6, 11 and 16
    nll = {name: [1.0] * 20 for name in names}
    folds = {"hits": hits, "nll": nll}
    record = {"model": "m", "task": "antonym", "order": 0, "tests": {"20": {name: {"rotating": "1"} for name in names}}}
    cell = Cell(record, {}, 20, folds)
    assert cell.by_folds(1) == names[2] and cell.by_folds(5) == names[3]
    nll[names[4]] = [0.5] * 20
    hits[names[2]] = "0" * 20
    assert cell.by_folds(1) == names[4]


def test_folds_cost_four_fifths_of_the_training_each_and_the_chosen_lane_once_more():
    # Two lanes read only; six train, 14 updates between them. A prediction comes with the first update.
    assert stream_cost(20) == pytest.approx(1 + 8 * (1 + 4 / 20) + 7 + 5 * 7)
    each = (1 + 5 + 3 * 1 + 3 * 5) / 5 + 0.8 * (7 + 5 * 7)
    assert fold_cost(5, NOW.lanes[0]) == pytest.approx(5 * each)
    assert fold_cost(1, NOW.lanes[2]) == pytest.approx(each + 3)


def test_runs_of_one_task_are_averaged_before_tasks_are():
    assert over_tasks(["a", "b"], [0.1, 0.2]) is None
    found = over_tasks(["a", "a", "b", "c"], [0.0, 0.2, 0.2, 0.3])
    assert found is not None and found.value == pytest.approx(0.2) and found.low < 0.2 < found.high


def test_one_setting_and_the_chosen_one_are_means_over_tasks():
    """Break seen to fail: over runs, so that a task with two orders counts twice."""
    some = [row("a", name, text, seed=seed) for name, text in (("x", "10"), ("chosen", "11")) for seed in (0, 1)]
    some += [row(task, name, "00") for name in ("x", "chosen") for task in ("b", "c")]
    told = {cells_of(line)[0]: cells_of(line) for line in tables.settings(some).splitlines()[2:]}
    assert told["x"][2:4] == ["4", "16.7"] and told["chosen"][3] == "33.3" and told["x"][4].startswith("17 (")


def test_a_task_that_a_kind_diverged_on_is_left_out():
    diverged = {**row("c", "ft", "1"), "accuracy": None, "scores": ""}
    some = [one for one in rows() if (one["task"], one["condition"]) != ("c", "ft")] + [diverged]
    told = cells_of(tables.kinds(some).splitlines()[-1])
    assert told[2] == "2" and told[7] == "60"
    assert "–" in tables.every_task(some) and tables.kinds([diverged]).count("\n") == 1
    assert pictures.kinds(some, "m", 60)


def test_a_kind_is_stood_for_by_its_best_lane_by_the_stream_whatever_the_test_says():
    """Two settings of FT: one right in the stream, the other on the test."""
    found = run_of(recorded({"ft-lr1e-3-u1": ("1", "0"), "ft-lr1e-3-u3": ("0", "1")}))
    by = {one["condition"]: one for one in runs.by_kind([found])}
    assert by["ft"]["lane"] == "ft-lr1e-3-u1" and by["ft"]["accuracy"] == 0.0
    settings = {one["condition"]: one["accuracy"] for one in runs.by_setting([found], "ft")}
    assert settings["chosen"] == 0.0 and settings["ft-lr1e-3-u3"] == 1.0 and len(settings) == 4
    pictures.promises([found], 20)


def recorded(known: dict[str, tuple[str, str]]) -> Cell:
    """A cell of 20 examples: lanes are right in half of the stream and of the test, or as `known` says of both."""

    def stream(hits: str) -> dict[str, Any]:
        nll = [0.1 if hit == "1" else 2.0 for hit in hits]
        return {"score": list(map(int, hits)), "nll": nll, "tokens": [1] * 20, "right": None}

    streams, tests = {}, {}
    for lane in LANES:
        there, on_test = known.get(lane.name, ("01", "01"))
        streams[lane.name] = stream((there * 20)[:20])
        tests[lane.name] = {"rotating" if lane.shots else "plain": (on_test * 10)[:10]}
    record = {
        "model": "smollm2", "task": "antonym", "order": 0, "golds": [f"answer {k}" for k in range(20)],
        "test_golds": None, "stream": streams, "tests": {"20": tests},
    }  # fmt: skip
    return Cell(record, {"20": {"stream": stream("01" * 10), "test": "0101010101"}}, 20)


def test_pictures_are_svg_with_a_dot_for_each_figure(tmp_path: Path):
    pictures.save(tmp_path / "kinds.svg", pictures.kinds(rows(), "m", 60), "Kinds")
    told = {
        "model": "smollm2", "world": "curse", "split": "reversal", "condition": "ft", "names": "plausible",
        "scale": "small", "quick": False, "seed": 0, "hits": "0" * 26,
    }  # fmt: skip
    pictures.save(tmp_path / "reversals.svg", pictures.reversals([told]), "Reversals")
    dots = {}
    for name in ("kinds", "reversals"):
        root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        dots[name] = len(root.findall(".//{*}circle"))
    assert dots == {"kinds": 3 * 4 + 4, "reversals": 1 + 2}  # the legend's among them


def test_studies_that_were_kept_are_told(tmp_path: Path):
    right = {"every-answer": "1" * 9, "last-answer": "1" + "0" * 8}
    some = [{**row("sst2", name, scores), "n": 30} for name, scores in right.items()]
    (tmp_path / "study-loss.jsonl").write_text("".join(json.dumps(one) + "\n" for one in some))
    told = of_studies(tmp_path)
    assert told.startswith("### loss: Should every answer") and "sst2; n = 30; 1 order." in told
    assert "- m: every-answer against last-answer: better in 1, equal in 0, worse in 0 of 1" in told


def test_a_file_without_anything_in_it_is_no_torn_line(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    path.touch()
    Lines(path, ("task",)).add({"task": "rotate"})
    assert path.read_text() == '{"task": "rotate"}\n'
