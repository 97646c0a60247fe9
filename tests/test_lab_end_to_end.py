"""The bundled model through the whole path: fit, kill, resume, bundle, predict, then plain PEFT and transformers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fewfit
from fewfit.models.installed import bundled_folder
from fewfit.run import folders
from lab.tasks import held_out_task

pytestmark = pytest.mark.slow
GRID = {
    "methods": ["icl", "ft", "icl+ft"],
    "shots": [4],
    "lr": [1e-3],
    "updates": [3],
    "race": False,
    "deliver": "fixed",
}


def go(data: Path, out: Path) -> subprocess.Popen:
    """The run in a process of its own, which may be killed. Not forked: torch's threads do not outlive a fork."""
    code = f"""
from fewfit import api
from fewfit.run import execute
execute.SNAPSHOT_SECONDS = 0.1
execute.processors = lambda: 1
out = {str(out)!r}
if {(out / "run.json").exists()}:
    api.resume(out)
else:
    api.fit({str(data)!r}, model="lab", out=out, **{GRID!r})
"""
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=out.parent)


@pytest.mark.skipif(bundled_folder("lab") is None, reason="this checkout has no bundled weights")
def test_fit_kill_resume_bundle_predict_and_plain_libraries(tmp_path, monkeypatch):
    """Break seen to fail: a bundle of the weights before the last update."""
    monkeypatch.chdir(tmp_path)
    rows = held_out_task("rotate", 3, 70)
    data = tmp_path / "rotate.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows[:30]))
    out = tmp_path / "run"
    child = go(data, out)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        made = sum(len(p.read_bytes().splitlines()) for p in out.glob("lanes/*/trained.jsonl"))
        if made > 60 or child.poll() is not None:
            break
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert (out / "lanes").exists()
    assert go(data, out).wait() == 0
    result = folders.result(out)
    assert {lane["status"] for lane in result["lanes"]} == {"done"}
    scores = {lane["kind"]: lane["prequential"] for lane in result["lanes"]}
    assert max(scores["ft"], scores["icl+ft"]) > 0.2  # it does learn to rotate

    bundles = [out / folders.BUNDLE, *sorted((out / folders.RUNNERS_UP).iterdir())]
    tuned = [folder for folder in bundles if (folder / "adapter_config.json").exists()]
    assert len(tuned) == 2
    prompts = [row["prompt"] for row in rows[30:]]
    for folder in tuned:
        ours = [row["prediction"] for row in fewfit.load(folder).predict(prompts)]
        assert ours == without_fewfit(folder, prompts)


def without_fewfit(folder: Path, prompts: list[str]) -> list[str]:
    """bundle.json, PEFT and transformers, nothing of ours."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer, GenerationConfig

    bundle = json.loads((folder / "bundle.json").read_text())
    assert bundle["render"]["chat"]
    model = AutoPeftModelForCausalLM.from_pretrained(folder, dtype=bundle["model"]["dtype"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    greedy = GenerationConfig.from_pretrained(folder)
    answers = []
    for prompt in prompts:
        turns = []
        for demo in bundle["demonstrations"]:
            turns += [{"role": "user", "content": demo["prompt"]}, {"role": "assistant", "content": demo["completion"]}]
        turns.append({"role": "user", "content": prompt})
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            new = model.generate(**ids, generation_config=greedy)[0, ids["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(new, skip_special_tokens=True).strip())
    return answers
