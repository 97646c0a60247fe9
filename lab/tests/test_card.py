"""The model card and its record: every family with its figures, and what was installed by hand."""

from __future__ import annotations

import json

import pytest

from fewfit.models import installed
from lab import card
from lab.info import info


def report() -> dict:
    row = {"metric": "choice", "chance": 0.5, "shots": {"0": 0.5, "8": 0.91}}
    return {
        "documents": 2,
        "seen": {"kinds": row},
        "held_out": {"rotate": {"metric": "match", "chance": None, "shots": {"8": 0.25}}},
        "label_words": {"kinds": {"usual": 0.9, "held out": 0.8}},
        "copying": {"64": 1.0},
        "many_shots": {"copy": {"32": 0.5}},
        "reversals": {"name": {"1 facts, 0 shots": 0.5}},
        "held_out_reversals": {"name": {"1 facts, 0 shots": 0.5}},
        "syllogisms": {"0 shots": 0.5},
        "instructions": {"turn 1": 0.5},
    }


def test_a_card_says_how_the_model_began_and_gives_every_figure(tmp_path):
    journal = [
        {"step": 0, "tokens": 0, "phase": "association", "seed": 3},
        {"step": 70, "tokens": 2_000_000, "decay_from": 70, "decay_steps": 40},
        {"step": 100, "tokens": 3_000_000, "loss": 1.0, "seconds": 600, "rate": 0.1},
        {"step": 100, "tokens": 3_000_000, "skills": {"copy": "0.10 0.20 0.30"}, "end": True},
    ]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in journal))
    record = card.training_record(tmp_path)
    assert record["tokens"] == 3_000_000
    assert record["seed"] == 3
    assert record["decay_steps"] == 30
    assert record["curves"] == [{"tokens": 3_000_000, "copy": "0.10 0.20 0.30"}]
    text = card.card(report(), record)
    assert "set by hand" in text
    assert "| kinds | 0.50 | 0.50 | - | - | - | 0.91 | - |" in text
    assert "| *rotate* (held out) | - | - | - | - | - | 0.25 | - |" in text
    assert "3.0M tokens in 10 minutes" in text


def test_the_bundled_card_is_what_its_record_says_and_counts_every_weight():
    """Break seen to fail: a count without the norms, 1.06M of 1.07M."""
    from safetensors.torch import load_file

    folder = installed.bundled_folder("lab")
    if folder is None:
        pytest.skip("no weights in this tree")
    count = sum(weight.numel() for weight in load_file(folder / "model.safetensors").values())
    assert info()["parameters"] == count
    text = (folder / "README.md").read_text()
    assert f"({count / 1e6:.2f}M parameters" in text
    record = json.loads((folder / "training.json").read_text())
    assert text == card.card(record["evaluation"], record)


def test_chance_stands_beside_forced_choices_where_the_record_has_it():
    told = report()
    assert "- name: 1 facts, 0 shots: 0.50\n" in "\n".join(card.others(told)) + "\n"
    told["reversals"] = {
        "relation": {"2 facts, 8 shots": 0.95},
        "name": {"2 facts, 8 shots": 0.75},
        "chance": {"relation": {"2 facts, 8 shots": 0.5}, "name": {"2 facts, 8 shots": 0.25}},
    }
    told["syllogisms"] = {"0 shots": 0.9, "chance": 0.5}
    lines = card.others(told)
    assert "- relation: 2 facts, 8 shots: 0.95 (chance 0.50)" in lines
    assert "- name: 2 facts, 8 shots: 0.75 (chance 0.25)" in lines
    assert "- chance: 0.50" in lines
