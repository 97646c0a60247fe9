"""examples/one_lane.py as a command: it says of each example what was predicted before it was trained on."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from examples import one_lane
from fewfit.grid import Lane
from fewfit.models import installed
from tests.models_made import tiny
from tests.streams_made import examples, task_of
from tests.tokenizers_made import byte_level

PAIRS = (("up", "down"), ("hot", "cold"), ("big", "small"), ("wet", "dry"), ("old", "new"), ("day", "night"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Free text: seven answers, none of them twice."""
    path = tmp_path / "opposites.jsonl"
    rows = [{"prompt": a, "completion": b} for a, b in (*PAIRS, ("left", "right"))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(capsys: Any, monkeypatch: Any, *flags: str) -> str:
    monkeypatch.setattr(sys, "argv", ["one_lane.py", *flags])
    one_lane.main()
    return capsys.readouterr().out


def rows_of(text: str) -> list[str]:
    return re.findall(r"^ +\d+ +\d+ .+$", text, re.MULTILINE)


def test_a_row_an_example_and_the_means(capsys: Any, monkeypatch: Any, file: Path) -> None:
    """Break seen to fail: the last third taken from the front of the rows."""
    text = said(capsys, monkeypatch, "--model", "lab", "--data", str(file), "--shots", "2")
    rows = rows_of(text)
    assert [row.split()[:2] for row in rows] == [[str(i), str(min(i - 1, 2))] for i in range(1, 8)]
    assert text.startswith("icl2+ft-lr1e-3-u1: lab on 7 examples of opposites")
    assert "7 updates were made" in text
    right = 100 * sum(" right " in row for row in rows) / 7
    assert f"{right:5.1f} of 100 right" in text
    nats = [float(row.split()[-1]) for row in rows]
    whole, third = (float(found) for found in re.findall(r"right, +([\d.]+) nats", text))
    assert whole == pytest.approx(sum(nats) / 7, abs=0.01)
    assert third == pytest.approx(sum(nats[-2:]) / 2, abs=0.01)


def test_where_the_real_model_is_not_installed_the_toy_is_taken_and_said(
    capsys: Any, monkeypatch: Any, file: Path
) -> None:
    monkeypatch.setattr(installed, "parts", lambda gguf: None)
    text = said(capsys, monkeypatch, "--data", str(file), "--updates", "0")
    assert text.startswith("smollm2 is not installed")
    assert "icl-4-per-query: lab on" in text  # each prompt has a draw of its own
    assert "0 updates were made" in text


def test_choices_are_told_apart_by_their_likelihood() -> None:
    """A random model would rather say anything else: nothing is a hit. Break seen to fail: `right` left at the hit."""
    items = examples(10)
    task = task_of(items, judge="choice")
    model, choices = tiny("llama", vocab_size=len(byte_level())), task.renderer.settings.choices
    rows, _ = one_lane.reference(model, task.renderer, items, Lane(), choices=choices)
    answers = {example.id: example.completion for example in items}
    assert not any(row["hit"] for row in rows)
    assert [row["right"] for row in rows] == [row["prediction"] == answers[row["id"]] for row in rows]
    assert {row["right"] for row in rows} == {True, False}
