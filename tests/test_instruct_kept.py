"""What rows of `suite instruct` hang on, what a condition's name promises, and a judge that is asked twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewfit.cli.main import run as command
from fewfit.errors import UserError
from fewfit.judges import Answered, Question, Verdict
from fewfit.models.local import Loaded
from fewfit.prompts import Conversation, Turn, ours
from fewfit.search.instructions import SEARCHED_ON, candidates, searched_on
from fewfit.suites.instruct import judging, subject, suite
from fewfit.suites.instruct.agreement import with_itself
from fewfit.suites.instruct.conditions import condition
from fewfit.suites.instruct.examples import Material
from fewfit.suites.instruct.questions import load

POOL = tuple(Conversation(str(k), (Turn(f"question {k}?", f"answer {k}."),)) for k in range(60))
MATERIAL = Material(ours(), POOL)


@pytest.fixture(scope="module")
def lab() -> Loaded:
    from fewfit.models import local

    return local.load("lab", device="cpu", dtype="float32")


def test_rows_of_divergence_hang_on_the_examples_that_it_was_measured_on(lab: Loaded, tmp_path: Path) -> None:
    """Which are held out depends on the conditions that are asked for. Break seen to fail: the pool in the key."""

    def rows(*names: str) -> list[dict[str, Any]]:
        told = subject.Asked("lab", studies=("divergence",), conditions=names)
        return suite.run(told, subject.subject_of(told, lab), MATERIAL, [], {}, tmp_path).rows

    first, again = rows("rules")[0], rows("rules", "random-3")[0]
    assert first["condition"] == again["condition"] == "rules" and first["scores"] != again["scores"]
    assert rows("rules")[0] == first


@pytest.mark.parametrize("name", ["random-1:shifted", "turns-3:shifted", "searched:in-domain"])
def test_a_change_that_would_change_nothing_or_cannot_be_made_is_left_out(name: str) -> None:
    """Break seen to fail: the prompt file's own examples counted in place of those shown."""
    searched = tuple(replace(one, id=f"s{one.id}") for one in POOL[:58])
    material = replace(MATERIAL, searched=searched)
    assert material.refuse(condition(name))
    assert not MATERIAL.refuse(condition("random-2:shifted"))


def test_decoding_that_means_nothing_is_refused_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: --number 0 taken for none given."""
    for flag, value in (("--number", "0"), ("--max-new-tokens", "0"), ("--top-p", "0"), ("--lr", "0")):
        assert command(["suite", "instruct", "--model", "nowhere", flag, value]) == 2
        assert "0" in (said := capsys.readouterr().err) and "nowhere" not in said


# ---- what a search has seen ------------------------------------------------------------------------------------------


def test_what_demonstrations_were_chosen_by_is_not_asked_again(tmp_path: Path) -> None:
    """Break seen to fail: the suite asking the questions of the search."""
    (tmp_path / "ifeval").mkdir()
    lines = [
        {"key": k, "prompt": f"Say {k}.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        for k in range(6)
    ]
    (tmp_path / "ifeval" / "input_data.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (tmp_path / "found.json").write_text(json.dumps({SEARCHED_ON: ["Say 1.", "Say 4."]}))
    known = searched_on(tmp_path / "demonstrations.jsonl")
    left = {one.turns[0] for one in load("ifeval", tmp_path, 40, 128, known).questions}
    assert left == {"Say 0.", "Say 2.", "Say 3.", "Say 5."}
    assert searched_on(tmp_path / "others.jsonl") == set() == searched_on(Path("nowhere/demonstrations.jsonl"))


def test_a_candidate_that_answers_a_question_is_none() -> None:
    """Break seen to fail: nothing left out."""
    found = candidates(POOL[:5], [Question("q", ("question 3?",))], None, 0)
    assert set(found) == {"0", "1", "2", "4"}
    with pytest.raises(UserError, match="--pool 0"):
        candidates(POOL, [], 0, 0)


# ---- a judge that is asked twice -------------------------------------------------------------------------------------


class Moody:
    """Says what it says of each question, and the second time .05 more of every other one."""

    name = "moody"

    def __init__(self, again: bool = False):
        self.is_again = again
        self.seen = 0

    def judge(self, answered: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        self.seen += len(answered)
        return [
            tuple(Verdict(own + 0.05 if self.is_again and int(one.question.id) % 2 else own) for _ in one.answers)
            for one in answered
            for own in [int(one.question.id) / 20]
        ]

    def again(self, seed: int, temperature: float) -> Moody:
        assert temperature > 0
        return Moody(True)


def test_how_far_a_judge_agrees_with_itself_is_told_over_conditions() -> None:
    """Breaks seen to fail: the second verdicts taken of other questions; verdicts counted as questions."""
    answered = [Answered(Question(str(k), ("a", "b")), ("x", "y y")) for k in range(14)]
    rows = judging.judged(answered, Moody())
    assert [len(row["again"]) for row in rows] == [judging.TWICE] * 2 and len(rows[0]["scores"]) == 14
    usual = {"questions": "ours", "judge": "moody"}
    one = [row | usual | {"condition": "base"} for row in rows]
    (told,) = with_itself([*one, *(row | {"condition": "urial"} for row in one)])
    assert told["n"] == 40 and told["same"]["value"] == 0.5 and told["apart"]["value"] == pytest.approx(0.025)
    (alone,) = with_itself(one[:1])
    assert told["same"]["interval"] == alone["same"]["interval"], (
        "twenty verdicts of ten questions say no more than ten"
    )
    assert with_itself([{**usual, "scores": [1.0]}]) == []


# ---- what would be done ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_plan_counts_what_a_run_does(lab: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks seen to fail: only the first question counted; trainings of a model that an endpoint serves."""
    line = ["suite", "instruct", "--model", "lab", "--conditions", "base,ft-3,urial@ft-3,random-9", "--number", "2"]
    line += ["--max-new-tokens", "4", "--out", str(tmp_path / "out"), "--json"]
    assert command([*line, "--plan"]) == 0 and not (tmp_path / "out").exists()
    (told,) = json.loads(capsys.readouterr().out)["studies"]
    assert (told["cells"], told["trainings"], told["answers"], told["new_tokens"]) == (3, 1, 12, 48)
    assert list(told["left_out"]) == ["random-9"]
    assert command([*line, "--plan", "--base-url", "http://127.0.0.1:9/v1"]) == 0
    (served,) = json.loads(capsys.readouterr().out)["studies"]
    assert (served["cells"], served["trainings"]) == (1, 0) and list(served["left_out"]) == [
        "ft-3",
        "urial@ft-3",
        "random-9",
    ]
    assert command(line) == 0
    made = [len(file.read_text().splitlines()) - 1 for file in (tmp_path / "out" / "answers").iterdir()]
    assert sum(made) == 12 and len(list((tmp_path / "out" / "weights").iterdir())) == 1
