"""Conversations of several turns: shown, trained on and saved; questions whose first turn nobody judges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewfit.engine.learner import Track
from fewfit.examples.example import Example
from fewfit.judges.rules import RulesJudge
from fewfit.models.local import Loaded
from fewfit.predict.predictor import Predictor
from fewfit.prompts import Conversation, Frame, Turn, ours
from fewfit.suites.instruct import subject, suite, tuning
from fewfit.suites.instruct.agreement import agreements
from fewfit.suites.instruct.conditions import Weights, condition
from fewfit.suites.instruct.examples import Material, drawn, prompter
from fewfit.suites.instruct.questions import QuestionSet, load, own

PAIRS = tuple(
    Conversation(f"p{k}", (Turn(f"what is {k}?", f"{k}."), Turn(f"and {k}?", f"{k} again."))) for k in range(4)
)
ONES = tuple(Conversation(str(k), (Turn(f"question {k}?", f"answer {k}."),)) for k in range(8))
MIXED = Material(replace(ours(), demonstrations=ONES[:2], as_written={}), (*ONES, *PAIRS))


@pytest.fixture(scope="module")
def lab() -> Loaded:
    from fewfit.models import local

    return local.load("lab", device="cpu", dtype="float32")


def test_conversations_of_several_turns_are_taken_before_any_are_joined() -> None:
    """Break seen to fail: single turns joined although there are pairs."""
    some = drawn(MIXED, condition("turns-3"), 0)
    assert len(some) == 3 and set(some) <= set(PAIRS)
    assert "are 4" in MIXED.refuse(condition("turns-5"))
    long = Conversation("long", (*PAIRS[0].turns, Turn("and then?", "no more.")))
    assert [len(one.turns) for one in drawn(replace(MIXED, pool=(long, *ONES)), condition("turns-1"), 0)] == [2]


@pytest.mark.parametrize("frame", [Frame(), None], ids=["frame", "chat"])
def test_a_conversation_is_one_sequence_with_loss_on_each_of_its_answers(lab: Loaded, frame: Frame | None) -> None:
    """Laid out as it is asked. Break seen to fail: earlier turns left out."""
    renderer = tuning.renderer_for(lab, frame)
    lane = tuning.lane_of(Weights(4), 1e-3)
    rows = [row for some in tuning.lessons(renderer, PAIRS, lane, Track("t", 0), 2) for row in some]
    assert len(rows) == 4
    for row in rows:
        text = renderer.encoder.decode(row.ids)
        (one,) = (one for one in PAIRS if one.turns[0].query in text)
        said = [renderer.encoder.decode(row.ids[a:b]) for a, b in row.loss]
        assert [turn.answer in some for turn, some in zip(one.turns, said, strict=True)] == [True, True]
        asking = prompter(MIXED, condition("base"), 0, chat=frame is None).asked(one.turns[:1], one.turns[1].query)
        writer = subject.subject_of(subject.Asked("lab", chat=frame is None), lab).writer
        assert row.ids[: len(writer.ids(asking))] == writer.ids(asking)  # type: ignore[attr-defined]


def test_weights_of_turns_and_a_prompt_of_turns_go_into_a_bundle(lab: Loaded, tmp_path: Path) -> None:
    """Breaks seen to fail: the second turns left out of the bundle's prompt; conversations refused for training."""
    pairs = replace(MIXED, pool=PAIRS)
    for name in ("turns-2", "ft-3"):
        asked = subject.Asked("lab", conditions=(name,), number=2, max_new_tokens=4)
        asking = subject.subject_of(asked, lab)
        sets = [QuestionSet("ours", tuple(own()[:2]))]
        found = suite.run(
            asked, asking, pairs, sets, {"ours": [RulesJudge()]}, tmp_path / name, save=tmp_path / f"{name}-bundle"
        )
        assert found.saved is not None and not found.left_out
        predictor = Predictor(tmp_path / f"{name}-bundle", device="cpu")
        ids = predictor.renderer.prompt(found.saved.demonstrations, Example("1", "Who is it?", "")).ids
        shown = prompter(pairs, condition(name), 0, asking.chat)
        assert ids == asking.writer.ids(shown.asked((), "Who is it?"))  # type: ignore[attr-defined]


def test_requests_come_first_and_all_constraints_after_them(tmp_path: Path) -> None:
    folder = tmp_path / "ifeval"
    folder.mkdir()
    rows = [
        f'{{"key": {k}, "prompt": "Write of mill {k}. No commas.", "instruction_id_list": ["punctuation:no_comma"], '
        '"kwargs": [{}]}\n'
        for k in range(5)
    ]
    (folder / "input_data.jsonl").write_text("".join(rows))
    some = load("ifeval-split", tmp_path, 4, 64)
    plain = load("ifeval", tmp_path, 4, 64)
    assert [one.id for one in some.questions] == [one.id for one in plain.questions] and len(some.questions) == 4
    assert all(one.checks[0] == () and len(one.checks[1]) == 1 and len(one.turns) == 2 for one in some.questions)


def test_orders_are_compared_by_the_first_turn_that_is_judged() -> None:
    """Break seen to fail: the first turn of all, in which such questions check nothing."""

    def row(name: str, questions: str, turn: int, scores: list[Any]) -> dict[str, Any]:
        n = sum(one is not None for one in scores)
        told = {"study": "comparison", "questions": questions, "judge": "rules", "condition": name, "seed": 0}
        return told | {"turn": turn, "n": n, "scores": scores}

    rows = []
    for place, name in enumerate(("a", "b", "c")):
        rows.append(row(name, "ifeval", 1, [float(k < place) for k in range(4)]))
        rows.append(row(name, "ifeval-split", 1, [None] * 4))
        rows.append(row(name, "ifeval-split", 2, [float(k < place) for k in range(4)]))
    (found,) = agreements(rows)
    assert found["tau"]["value"] == 1.0
