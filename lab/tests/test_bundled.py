"""What the bundled model promises: found by name, a stock folder, tasks to adapt to, demo files, a light command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fewfit
from fewfit.models import installed
from lab import tasks

ROOT = Path(tasks.__file__).resolve().parents[1]
DEMO = Path(fewfit.__file__).parent / "demo" / "data"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_the_command_loads_no_torch():
    code = "import sys, lab.__main__; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert python("-c", code).returncode == 0


def test_the_command_lists_what_it_does_and_says_what_is_wrong_on_one_line():
    """Break seen to fail: errors left to trace back."""
    shown = python("-m", "lab", "--help").stdout
    assert all(f"{name} " in shown for name in ("train", "eval", "info", "sample"))
    refused = python("-m", "lab", "sample", "--model", "nowhere", "say fox")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "no model at 'nowhere'" in refused.stderr


def test_its_own_description_and_a_document_of_its_corpus():
    facts = json.loads(python("-m", "lab", "info", "--json").stdout)
    assert facts["path"] == str(installed.bundled_folder("lab"))
    assert (facts["parameters"], facts["training"]["steps"]) == (installed.find("lab").parameters, 28060)
    assert python("-m", "lab", "sample", "--seed", "3").stdout.endswith("<|endoftext|>\n")


def test_unknown_names_are_nobodys():
    assert installed.bundled_folder("gpt2") is None


@pytest.mark.parametrize("name", tasks.HELD_OUT_TASKS)
def test_a_task_has_enough_distinct_examples_and_repeats(name):
    rows = tasks.held_out_task(name, 0, 260)
    assert len({row["prompt"] for row in rows}) == 260
    assert rows[:20] == tasks.held_out_task(name, 0, 20)
    assert rows != tasks.held_out_task(name, 1, 260)
    assert all("choices" not in row or row["completion"] in row["choices"] for row in rows)


def test_there_are_at_least_twelve_tasks():
    assert len(tasks.HELD_OUT_TASKS) >= 12


def test_the_demo_files_are_what_the_script_makes(tmp_path):
    for made in tasks.write_demo(tmp_path):
        assert (DEMO / made.name).read_bytes() == made.read_bytes()
    for name in tasks.DEMO:
        train = {json.loads(line)["prompt"] for line in (DEMO / f"{name}.jsonl").read_text().splitlines()}
        test = {json.loads(line)["prompt"] for line in (DEMO / f"{name}-test.jsonl").read_text().splitlines()}
        assert 40 <= len(train) <= 60
        assert len(test) == 200
        assert not train & test


@pytest.mark.skipif(installed.bundled_folder("lab") is None, reason="no weights in this tree")
def test_lab_loads_the_stock_way_and_copies():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = installed.bundled_folder("lab")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.max_position_embeddings >= 2048
    prompt = "".join(f"Input: {w}\nOutput: {w}\n\n" for w in ("fox", "tea cup", "red hen", "owl", "zak mir"))
    ids = torch.tensor([tokenizer.encode(prompt + "Input: pear lamp\nOutput:")])
    out = model.generate(ids, max_new_tokens=4, do_sample=False)
    assert tokenizer.decode(out[0, ids.shape[1] :]).split("\n")[0].strip() == "pear lamp"
