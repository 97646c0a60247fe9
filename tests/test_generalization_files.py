"""Worlds as files: what is written is read by `fit`, and says what it rests on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewfit.cli.main import run as command
from fewfit.examples import load
from fewfit.run.material import read
from fewfit.settings import Settings
from fewfit.suites.generalization.deriving import CLOSE
from fewfit.suites.generalization.worlds import WORLDS
from tests.test_generalization_worlds import world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("worlds")
    assert command(["suite", "generalization", "--write", str(made), "--names", "plausible"]) == 0
    return made


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", WORLDS)
def test_fit_reads_documents_and_questions(folder: Path, name: str) -> None:
    """By the readers that a run begins with; nothing but repeated texts is dropped.

    Break seen to fail: facts in a column that `fit` takes for inferences.
    """
    here, told = folder / f"{name}-0", world(name, names="plausible")
    material = read(Settings(model="lab", probe=str(here / "questions.jsonl")), str(here / "documents.jsonl"))
    assert material.documents is not None and material.judge.name == "choice"
    assert {one.completion for one in material.documents.examples} == {one.text for one in told.documents}
    assert not any("not used" in one or "made from" in one for one in material.documents.notices)
    asked = {one.id: one for one in material.dataset.examples}
    assert len(asked) == len(told.questions)
    for question in told.questions:
        one = asked[question.id]
        assert (one.prompt, one.completion, one.choices) == (question.prompt, question.answer, question.options)
    assert [row["split"] for row in rows(here / "questions.jsonl")] == [one.split for one in told.questions]


@pytest.mark.parametrize("name", WORLDS)
def test_an_inference_rests_on_what_is_told(folder: Path, name: str) -> None:
    """And, where it follows in one way only, on no more.

    Break seen to fail: on all that is told of its words and their neighbours.
    """
    here, told = folder / f"{name}-0", world(name, names="plausible")
    texts = {row["id"]: row["text"] for row in rows(here / "documents.jsonl")}
    facts = {tuple(row["fact"]): row["documents"] for row in rows(here / "facts.jsonl")}
    assert facts == {
        fact: [one.id for one in told.documents if fact in one.facts] for one in told.documents for fact in one.facts
    }
    assert texts == {one.id: one.text for one in told.documents}
    written = rows(here / "inferences.jsonl")
    assert [row["text"] for row in written] == [one.text for one in told.inferences]
    for row, one in zip(written, told.inferences, strict=True):
        rests_on = [tuple(fact) for fact in row["made_from"]]
        assert set(rests_on) <= set(facts)
        assert all(fact in CLOSE[name](rests_on) for fact in one.facts)
        assert len(rests_on) <= 5 * len(one.facts)
        for left_out in rests_on if name in ("reversals", "curse", "syllogisms") else ():
            fewer = CLOSE[name]([fact for fact in rests_on if fact != left_out])
            assert not all(fact in fewer for fact in one.facts)
    assert load(here / "inferences.jsonl").are_documents


def test_a_part_of_it_is_written_for_every_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--write", str(tmp_path), "--worlds", "curse", "--seeds", "2", "--json"]
    assert command(["suite", "generalization", *arguments]) == 0
    told = json.loads(capsys.readouterr().out)["worlds"]
    assert [Path(one["folder"]).name for one in told] == ["curse-0", "curse-1"]
    assert [one["questions"] for one in told] == [52, 52]
    first, second = (rows(Path(one["folder"]) / "documents.jsonl") for one in told)
    assert first != second and len(first) == len(second) == 80


def test_what_others_wrote_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: worlds of other names written over those that were there."""
    asked = ["suite", "generalization", "--write", str(tmp_path), "--worlds", "curse"]
    assert command(asked) == 0 == command(asked)
    capsys.readouterr()
    before = (tmp_path / "curse-0" / "documents.jsonl").read_bytes()
    assert command([*asked, "--names", "plausible"]) == 2
    assert "another world lies there" in capsys.readouterr().err
    assert (tmp_path / "curse-0" / "documents.jsonl").read_bytes() == before


def test_without_a_model_worlds_can_be_written_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--plan"], ["--plan", "--write", "there"], ["--quick", "--write", "there"]):
        assert command(["suite", "generalization", *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
