"""What `suite instruct --save` leaves is what was asked: the same prompt, weights and decoding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fewfit
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.judges.rules import RulesJudge
from fewfit.models.local import Loaded
from fewfit.predict.predictor import Predictor
from fewfit.prompts import Conversation, Turn, ours
from fewfit.suites.instruct import subject, suite
from fewfit.suites.instruct.conditions import condition
from fewfit.suites.instruct.examples import Material, prompter
from fewfit.suites.instruct.questions import QuestionSet, own
from fewfit.suites.instruct.saving import best
from fewfit.writing import Sampling

POOL = tuple(Conversation(str(k), (Turn(f"question {k}?", f"answer {k}."),)) for k in range(6))
MATERIAL = Material(replace(ours(), demonstrations=POOL[:2], as_written={}), POOL)


@pytest.fixture(scope="module")
def lab() -> Loaded:
    from fewfit.models import local

    return local.load("lab", device="cpu", dtype="float32")


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "frame"])
@pytest.mark.parametrize("name", ["base", "urial", "random-2", "urial+random-1", "ft-3", "icl2+ft-4", "urial@ft-3"])
def test_a_bundle_asks_as_the_suite_asked(name: str, chat: bool, lab: Loaded, tmp_path: Path) -> None:
    """Token for token, with the condition's weights and decoding.

    Breaks seen to fail: the rules left out; the penalty not kept.
    """
    sampling = Sampling(0.7, 0.9, 1.3)
    asked = subject.Asked("lab", conditions=(name,), number=2, max_new_tokens=6, chat=chat, sampling=sampling)
    asking = subject.subject_of(asked, lab)
    sets = [QuestionSet("ours", tuple(own()[:2]))]
    found = suite.run(
        asked, asking, MATERIAL, sets, {"ours": [RulesJudge()]}, tmp_path / "out", save=tmp_path / "bundle"
    )  # fmt: skip
    assert found.saved is not None and found.saved.sampling == sampling
    predictor = Predictor(tmp_path / "bundle", device="cpu")
    shown = prompter(MATERIAL, condition(name), 0, chat)
    ids = predictor.renderer.prompt(found.saved.demonstrations, Example("1", "Who is it?", "")).ids
    assert ids == asking.writer.ids(shown.asked((), "Who is it?"))
    assert found.saved.weights == ("adapter" if condition(name).weights else "none")
    (row,) = predictor.predict(["Who is it?"])
    assert predictor.predict(["Who is it?"]) == [row]
    config = json.loads((tmp_path / "bundle" / "generation_config.json").read_text())
    assert (config["do_sample"], config["temperature"], config["repetition_penalty"]) == (True, 0.7, 1.3)


def test_a_penalty_in_a_bundle_reaches_what_it_writes(lab: Loaded, tmp_path: Path) -> None:
    """As it reaches what the suite writes. Break seen to fail: the bundle's sampling left out of `predict`."""
    texts, answers = [], []
    for penalty in (1.0, 5.0):
        asked = subject.Asked(
            "lab", conditions=("base",), number=1, max_new_tokens=24, sampling=Sampling(0, 1, penalty)
        )  # fmt: skip
        sets = [QuestionSet("ours", tuple(own()[:1]))]
        folder = tmp_path / f"{penalty:g}"
        asking = subject.subject_of(asked, lab)
        suite.run(asked, asking, MATERIAL, sets, {"ours": [RulesJudge()]}, folder, save=folder / "b")
        (kept,) = (folder / "answers").iterdir()
        answers.append([json.loads(line).get("answer") for line in kept.read_text().splitlines()])
        texts.append(fewfit.load(folder / "b").predict(["go go go go"])[0]["prediction"])
    assert texts[0] != texts[1] and answers[0] != answers[1]


def test_the_best_is_of_all_turns_and_of_what_a_bundle_can_hold() -> None:
    def row(name: str, score: float, **more: Any) -> dict[str, Any]:
        usual = {
            "study": "comparison",
            "judge": "rules",
            "n": 4,
            "seed": 0,
            "temperature": 0,
            "top_p": 1,
            "repetition_penalty": 1,
        }
        return {"condition": name, "score": score, **usual, **more}

    rows = [row("base", 0.4), row("base", 0.4), row("urial", 0.9), row("urial", 0.0), row("urial:shifted", 1.0)]
    rows += [row("base", 0.9, judge="other"), row("random-2", 0.5, temperature=0.3), row("random-2", 0.2)]
    assert (best(rows)["condition"], best(rows)["temperature"]) == ("random-2", 0.3)
    with pytest.raises(UserError):
        best([row("turns-3+tag", 1.0)])
    assert best([row("turns-3", 1.0)])["condition"] == "turns-3"
