"""The benchmarks' own arithmetic, on settings so small that they say nothing of speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import adapts, choose, memory, racing, real, scoring, writing
from benchmarks.records import Lines
from fewfit.examples import Example
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.prompts import Conversation, Turn, UrialPrompt
from fewfit.select import select
from fewfit.suites.tasks.task import Published, hold_out


def test_sixteen_configurations_of_all_kinds():
    names = [lane.name for lane in adapts.sixteen()]
    assert len(set(names)) == 16
    assert {lane.kind for lane in adapts.sixteen()} == {"zero-shot", "icl", "ft", "icl+ft"}


def test_folds_hold_every_example_out_once_and_a_holdout_a_fifth():
    assert sorted(k for part in choose.parts(60, 3, choose.FOLDS) for k in part) == list(range(60))
    assert [len(part) for part in choose.parts(60, 3, None)] == [choose.HELD]
    assert choose.parts(60, 3, None) != choose.parts(60, 4, None)


def test_finished_cells_are_not_made_again_and_a_torn_line_is(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    Lines(path, ("task", "n")).add({"task": "rotate", "n": 60, "test": 0.5})
    with path.open("a") as file:
        file.write('{"task": "rotate", "n"')
    again = Lines(path, ("task", "n"))
    assert again.has(task="rotate", n=60) and not again.has(task="rotate", n=20)
    again.add({"task": "rotate", "n": 20, "test": 0.4})
    assert Lines(path, ("task", "n")).has(task="rotate", n=20)


def test_contenders_are_compared_over_the_cells_that_both_have():
    cells = [
        {"contender": name, "task": task, "n": 60, "seed": 0, "test": test, "seconds": seconds, "cpu": seconds}
        for name, task, test, seconds in (
            ("fewfit", "a", 0.9, 10.0),
            ("fewfit", "b", 0.5, 10.0),
            ("fewfit", "c", 0.1, 99.0),
            ("holdout", "a", 0.8, 30.0),
            ("holdout", "b", 0.4, 50.0),
        )
    ]
    text = choose.table(cells)
    holdout = next(line for line in text.splitlines() if line.startswith("| holdout "))
    assert "| 2 | 40.0 |" in holdout and "-10.0 (-10.0 to -10.0)" in holdout and "| 4.00 | 4.00 |" in holdout


def rows_of_two(n: int) -> tuple[list[Lane], list[dict[str, Any]]]:
    """Three lanes of one kind: one right, one wrong, one right half of the time."""
    lanes = [Lane(lr=rate, updates=2) for rate in (1e-3, 2e-3, 3e-3)]
    right = (lambda i: True, lambda i: False, lambda i: i % 2 == 0)
    common: dict[str, Any] = {
        "model": None,
        "seed": 0,
        "shots": 0,
        "demos": [],
        "tokens": 2,
        "prompt_tokens": 8,
        "gold": "a",
    }
    rows = [
        {**common, "lane": lane.name, "i": i, "id": str(i), "nll": 0.1 if ok(i) else 2.1, "score": float(ok(i)),
         "correct": ok(i), "prediction": "a", "cut": False, "probs": None, "margin": 1.0}
        for lane, ok in zip(lanes, right, strict=True)
        for i in range(1, n + 1)
    ]  # fmt: skip
    return lanes, rows


def test_a_replayed_race_drops_the_hopeless_lane_and_keeps_the_choice():
    lanes, rows = rows_of_two(60)
    found = racing.examine(rows, lanes, "match")
    assert found["chosen"] == found["chosen_raced"] == lanes[0].name == select(rows, lanes, metric="match").best.name
    assert lanes[1].name in found["dropped"] and lanes[0].name not in found["dropped"]
    saved = sum(60 - i for i in found["dropped"].values()) / 180
    assert found["steps_saved"] == pytest.approx(saved) == pytest.approx(found["tokens_saved"])
    assert "0 of 1" in racing.table([{"task": "x", "n": 60, "seed": 0, **found}])


@pytest.mark.parametrize("choices", ["", scoring.CHOICES_APART, "choice"])
def test_rows_for_scoring_end_with_their_right_answer(choices: str):
    for row in scoring.rows_of(3, 64, 100, choices=choices):
        assert len(row.ids) == 64 and row.spans[-1][1] == 64
        if choices:
            assert row.ids[slice(*row.spans[-1])] == row.choices[0] and len(row.choices) == 4


def test_a_memory_point_counts_lanes(monkeypatch: pytest.MonkeyPatch):
    from benchmarks import shapes

    monkeypatch.setitem(shapes.SHAPES, "tiny", {**shapes.SHAPES["5m"], "num_hidden_layers": 1, "vocab_size": 64})
    points = [memory.point("tiny", lanes, 32, 1) for lanes in (1, 2)]
    told = memory.table(memory.with_a_lane(points))
    assert len(told.splitlines()) == 4 and points[0]["adapter_and_moments_mib"] > 0


def test_a_cell_judges_every_lane_and_its_race_can_be_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("safetensors")
    lanes = (Lane(), Lane(shots=2), Lane(lr=1e-3, updates=1))
    found = adapts.cell("lab", "rotate", 6, 0, lanes, tmp_path, test=4)
    assert list(found["test"]) == [lane.name for lane in lanes]
    assert set(found["best_of_kind"]) == {"zero-shot", "icl", "ft"}
    assert "rotate" in adapts.table([found])
    (tmp_path / "lines.jsonl").write_text(json.dumps(found) + "\n")
    (tmp_path / "predictions").mkdir()
    (tmp_path / "rotate-6-0.jsonl.gz").rename(tmp_path / "predictions" / "rotate-6-0.jsonl.gz")
    monkeypatch.setattr(racing, "sixteen", lambda: lanes)
    (raced,) = racing.of_lines(tmp_path / "lines.jsonl")
    assert raced["test"] == found["test"][found["best"]]


def test_both_ways_of_writing_write_the_same(tmp_path: Path):
    """Break seen to fail: `by_generate` padding on the right."""
    questions = tmp_path / "question.jsonl"
    texts = ["One?", "What are two and two of them?", "Which of these is the largest?", "So?"] * 2
    questions.write_text("".join(json.dumps({"turns": [text]}) + "\n" for text in texts))
    prompt = UrialPrompt("p", "Say what it is.", (Conversation("1", (Turn("red?", "blue"),)),))
    asked = writing.asked_of(questions, prompt, 4)
    assert [one.rest.split("\n")[0] for one in asked] == [texts[k] for k in (0, 2, 4, 6)]
    ways = {"generate": writing.by_generate, "LocalWriter": writing.by_writer}
    found = writing.measure(local.load("lab", device="cpu", dtype="float32"), asked, 6, ways)
    assert [one["rows_that_differ"] for one in found] == [0, 0]
    assert found[1]["prompt_tokens"] < found[0]["prompt_tokens"] and found[0]["new_tokens"] == found[1]["new_tokens"]
    assert "of 4 |" in writing.table(found).splitlines()[-1]


def test_hours_of_models_out_of_reach_are_reckoned_from_another_ones_tokens(monkeypatch: pytest.MonkeyPatch):
    """In proportion to their size. Break seen to fail: operations that were not scaled."""
    from argparse import Namespace

    monkeypatch.setattr(real, "STAND_IN", "lab")
    examples = tuple(Example(str(k), f"say {k}", f"so {k}") for k in range(60))
    tasks = (hold_out(Published("said", examples), 10),)
    asked = Namespace(lr=(1e-3,), seeds=1)
    small, large = (real.hours(name, tasks, asked) for name in ("Qwen/Qwen3-0.6B", "meta-llama/Llama-3.1-8B"))
    ratio = real.BODIES["meta-llama/Llama-3.1-8B"] / real.BODIES["Qwen/Qwen3-0.6B"]
    assert large["gpu_hours"] == pytest.approx(ratio * small["gpu_hours"]) and small["gpu_hours"] > 0
    assert "tokens of lab" in small["from"] and large["tokens"] == small["tokens"]
