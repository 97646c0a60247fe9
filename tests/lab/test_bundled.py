"""What the bundled models promise: found by name, stock folders, tasks to adapt to, demo files, a light command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fewfit.lab import tasks
from fewfit.models import installed

DEMO = Path(tasks.__file__).parent.parent / "demo" / "data"


def test_importing_the_command_loads_no_torch():
    code = "import sys, fewfit.cli.lab; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
