"""From the command line to a server, and what cannot be served."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
import openai
from bundles_made import FULL, ICL, LORA, free, made
from folders_made import model_folder
from serve_made import bundles, questions

from fewfit.cli.main import run
from fewfit.errors import UserError
from fewfit.models import local
from fewfit.predict import Predictor
from fewfit.run import folders
from fewfit.serve.house import load, split


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """A process of its own, a key in a variable, a name of one's own; SIGTERM is no failure."""
    folders = bundles(tmp_path)
    asked = questions("tuned", 3)
    wanted = [row["prediction"] for row in Predictor(folders["tuned"], device="cpu").predict(asked)]
    command = [sys.executable, "-m", "fewfit", "serve", f"mine={folders['tuned']}", str(folders["labels"])]
    process = subprocess.Popen(
        [*command, "--port", "0", "--device", "cpu", "--api-key-env", "A_KEY"],
        env={**os.environ, "A_KEY": "hidden"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "http://" in line)
        assert "mine, labels, base" in said and "hidden" not in said
        found = re.search(r"http://[\d.:]+/v1", said)
        assert found is not None
        client = openai.OpenAI(base_url=found.group(), api_key="hidden", max_retries=0)
        told = client.completions.create(model="mine", prompt=asked)
        assert [choice.text for choice in told.choices] == wanted
    finally:
        process.send_signal(signal.SIGTERM)
        said_then = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and "Traceback" not in said_then


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["serve", str(tmp_path)]) == 2
    assert "uvicorn" in (said := capsys.readouterr().err) and "fewfit[serve]" in said


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    loaded = local.load(model_folder(tmp_path / "tiny"), device="cpu")
    other = local.load(model_folder(tmp_path / "other", "gemma3"), device="cpu")
    for name, model, lane in (
        ("icl", loaded, ICL),
        ("base", loaded, ICL),
        ("lora", other, LORA),
        ("full", loaded, FULL),
    ):
        made(model, lane, free()).save(tmp_path / name)
    one = str(tmp_path / "icl")
    for runs, words in (
        ([one, one], "'icl' is another's; name it: icl-2="),
        ([str(tmp_path / "base")], "the base model's"),
        ([one, str(tmp_path / "lora")], "different models"),
        ([one, str(tmp_path / "full")], "different models"),
        ([str(tmp_path / "none")], "no such folder"),
    ):
        with pytest.raises(UserError, match=words):
            load(runs, device="cpu")


def test_the_last_run_can_be_given_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: `last` taken for a folder behind a name."""
    monkeypatch.chdir(tmp_path)
    reviews = tmp_path / "elsewhere" / "reviews"
    reviews.mkdir(parents=True)
    (reviews / folders.RECORD).write_text("{}")
    folders.remember(reviews)
    assert split("mine=last") == ("mine", reviews) and split("last") == (None, reviews)
    assert split(f"mine={reviews}") == ("mine", reviews)


def test_a_model_that_was_tuned_whole_is_served_alone(tmp_path: Path) -> None:
    trained = made(local.load(model_folder(tmp_path / "tiny"), device="cpu"), FULL, free())
    trained.save(tmp_path / "full")
    house = load([str(tmp_path / "full")], device="cpu")
    assert list(house.hosted) == ["full"]
    house.close()


def test_an_adapter_that_is_no_plain_lora_is_refused(tmp_path: Path) -> None:
    trained = made(local.load(model_folder(tmp_path / "tiny"), device="cpu"), LORA, free())
    trained.save(tmp_path / "lora")
    path = tmp_path / "lora" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_rslora": True}))
    with pytest.raises(UserError, match="no plain LoRA"):
        load([str(tmp_path / "lora")], device="cpu")


def test_a_model_without_keys_by_position_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(local.load(model_folder(tmp_path / "tiny"), device="cpu"), ICL, free()).save(tmp_path / "icl")
    monkeypatch.setattr("fewfit.engine.packed.usable", lambda model: False)
    with pytest.raises(UserError, match="does not keep keys and values by position"):
        load([str(tmp_path / "icl")], device="cpu")
