"""The flags that commands share: all there, each with its default, read or refused."""

from __future__ import annotations

import json
import re
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import fewfit
from fewfit.cli import flags
from fewfit.cli.main import run
from fewfit.errors import UserError
from fewfit.plan.planning import plan
from fewfit.settings import DEFAULTS, Settings


def test_every_flag_of_the_design_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: one flag left out."""
    missing = """preset methods shots lr updates rank tune optimizer loss replay demos seeds model revision
    budget race no-race metric choices instruction no-instruction system template chat chat-template-kwargs
    max-length input output labels order skip-bad keep-duplicates test final device dtype quantize out no-text
    watch watch-port quiet json yes"""
    assert run(["fit", "--help"]) == 0
    shown = capsys.readouterr().out
    assert [flag for flag in re.findall(r"[a-z-]+", missing) if not re.search(rf"--{flag}\b", shown)] == []
    assert all(f"\n{panel}:\n" in shown for panel in ("Model", "Lanes", "Scores", "Prompts", "Data", "Run"))
    named = [name for name, flag in flags.FLAGS.items() if flag.default(name) is not False]
    assert shown.count("[default:") >= len(named) - 1, "each says its default; DATA and plain switches have none"


def test_what_flags_give_is_what_fit_takes() -> None:
    """A command line without flags asks for what `fit` asks for without keywords."""
    given = {name: flag.default(name) for name, flag in flags.FLAGS.items()} | {"model": ["lab"]}
    assert Settings(**flags.values(given)) == Settings(model="lab")
    shown = signature(fewfit.fit).parameters
    assert {name: shown[name].default for name in DEFAULTS} == DEFAULTS
    assert set(DEFAULTS) <= set(signature(plan).parameters)


def test_a_setting_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="unknown setting 'shot'; did you mean shots"):
        fewfit.fit([], "lab", shot=4)


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("shots", "4, 8", [4, 8]),
        ("lr", "3e-4,1e-3", [3e-4, 1e-3]),
        ("methods", "ft,icl", ["ft", "icl"]),
        ("template", r"Q: {prompt}\nA: {completion}", "Q: {prompt}\nA: {completion}"),
        ("instruction", r"Answer.\nBe brief.", "Answer.\nBe brief."),
        ("system", r"Answer.\nBe brief.", "Answer.\nBe brief."),
        ("chat_template_kwargs", "enable_thinking=true,level=low", {"enable_thinking": True, "level": "low"}),
        ("chat_template_kwargs", '{"a": [1]}', {"a": [1]}),
        ("budget", "1h30m", "1h30m"),
    ],
)
def test_flags_are_read(name: str, text: str, value: Any) -> None:
    assert flags.values({name: text})[name] == value


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("shots", "4,x", "--shots x"),
        ("shots", "0", "zero-shot and ft"),
        ("lr", "nan", "--lr nan"),
        ("updates", "1.5", "whole numbers"),
        ("methods", " , ", "--methods is empty"),
        ("budget", "soon", "no duration"),
        ("tune", "lorra", "lora, full"),
        ("preset", "slow", "quick, thorough, paper"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_mend(name: str, text: Any, words: str) -> None:
    """Never silently ignored."""
    with pytest.raises(UserError) as caught:
        Settings(model="lab", **flags.values({name: text}))
    assert words in caught.value.line()
    assert caught.value.hint


def test_a_refusal_comes_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: the check moved behind fit."""
    assert run(["fit", "no-such.csv", "--model", "no-such", "--select", "luck"]) == 2
    assert "--select luck" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["plan", "DATA", "--model", "lab", "--model", "lab"], "two models called lab"),
        (["fit", "DATA", "--model", "lab", "--model", "elsewhere/lab"], "two models called lab"),
        (["inspect", "DATA", "--model", "lab", "--shots", "-2"], "--shots -2"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, words, tmp_path, capsys) -> None:
    """Break seen to fail: each check left out."""
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f'{{"prompt": "p{i}", "completion": "c{i}"}}\n' for i in range(4)))
    assert run([str(data) if one == "DATA" else one for one in arguments]) == 2
    assert words in capsys.readouterr().err


def test_all_shots_are_for_documents_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: `all` taken for ten thousand examples in a prompt."""
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"w{k}", "completion": "ab"[k % 2]}) + "\n" for k in range(12)))
    assert run(["plan", str(data), "--model", "lab", "--shots", "all"]) == 2
    assert "--probe" in capsys.readouterr().err
    assert flags.counts("all,4", "--shots") == [flags.ALL_SHOTS, 4]
    with pytest.raises(UserError):
        flags.counts("all", "--updates")
