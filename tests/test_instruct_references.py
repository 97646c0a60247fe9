"""`suite instruct --study likelihood`: how likely right answers are behind a prompt, and what may be said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fewfit.cli.main import run as command
from fewfit.errors import UserError
from fewfit.models.local import Loaded
from fewfit.prompts import Conversation, Turn, ours
from fewfit.suites.instruct import references, subject, suite
from fewfit.suites.instruct.claims import claims
from fewfit.suites.instruct.conditions import condition
from fewfit.suites.instruct.examples import Material, prompter
from fewfit.suites.instruct.references import by_turn, with_references

POOL = tuple(Conversation(str(k), (Turn(f"question {k}?", f"The answer is {k}, of course."),)) for k in range(40))
SMALL = replace(ours(), demonstrations=POOL[-2:], as_written={})
MATERIAL = with_references(Material(SMALL, POOL[:30]), None, 8, 32)


@pytest.fixture(scope="module")
def lab() -> Loaded:
    from fewfit.models import local

    return local.load("lab", device="cpu", dtype="float32")


def asked(*names: str, **changed: Any) -> subject.Asked:
    usual: dict[str, Any] = {"studies": ("likelihood",), "max_new_tokens": 32}
    return subject.Asked("lab", conditions=names, **(usual | changed))


def run(lab: Loaded, folder: Path, told: subject.Asked, material: Material = MATERIAL) -> suite.Outcome:
    return suite.run(told, subject.subject_of(told, lab), material, [], {}, folder)


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_no_reference_is_shown_or_trained_on() -> None:
    """Break seen to fail: references left in the pool."""
    shown = {one.turns[0].query for one in (*MATERIAL.pool, *SMALL.demonstrations)}
    assert len(MATERIAL.references) == 8 and len(MATERIAL.pool) == 22
    assert not shown & {one.turns[0].query for one in MATERIAL.references}
    given = with_references(Material(SMALL, POOL[:30], searched=POOL[30:32]), POOL, 100, 32)
    assert {one.id for one in given.references} == {str(k) for k in range(32, 38)}, "38 and 39 are the prompt file's"
    assert given.pool == POOL[:30]
    with pytest.raises(UserError, match="--references"):
        with_references(Material(SMALL, POOL[-2:]), None, 40, 32)


def test_no_answer_of_a_reference_stands_in_an_ablation() -> None:
    """Break seen to fail: answers of another style that are themselves references."""
    made = with_references(Material(SMALL, POOL[:10], foreign=POOL[10:30]), POOL[10:30], 8, 32)
    assert len(made.references) == 8 and len(made.foreign) == 12
    assert not {one.turns[0].answer for one in made.foreign} & {one.turns[0].answer for one in made.references}


def test_half_of_a_small_pool_is_left_to_show() -> None:
    made = with_references(Material(SMALL, POOL[:30]), None, None, 32)
    assert len(made.references) == len(made.pool) == 15


def test_references_are_cut_to_what_an_answer_may_have() -> None:
    long = Conversation("l", (Turn("q?", "one  two\nthree " * 20),))
    assert references.cut(long, 4).turns[0].answer == "one  two\nthree one"


def test_both_turns_are_of_the_same_answers() -> None:
    """Breaks seen to fail: each behind itself; conversations of two turns asked for their first one twice."""
    first, second = by_turn(POOL[:3])
    assert [one.answer for one in first] == [one.answer for one in second]
    assert [one.history for one in first] == [(), (), ()]
    assert [one.history[0] for one in second] == [POOL[2].turns[0], POOL[0].turns[0], POOL[1].turns[0]]
    two = Conversation("two", (Turn("a", "b"), Turn("c", "d")))
    assert by_turn([two, POOL[0]])[1][0] == ((Turn("a", "b"),), "c", "d")


# ---- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "frame"])
@pytest.mark.parametrize("name", ["base", "urial+random-3"])
def test_it_is_the_likelihood_of_the_answers_tokens_in_the_whole_conversation(
    name: str, chat: bool, lab: Loaded
) -> None:
    """Against a plain forward of each conversation. Breaks seen to fail: the answer's end counted; the first turn left
    out of the second; the sum in place of the mean."""
    asking = subject.subject_of(asked(name, chat=chat), lab)
    shown = prompter(MATERIAL, condition(name), 0, chat)
    some = MATERIAL.references[:3]
    found = references.rows(asking.writer, shown, some)  # type: ignore[arg-type]
    for row, refs in zip(found, by_turn(some), strict=True):
        for score, one in zip(row["scores"], refs, strict=True):
            prompt = asking.writer.ids(shown.asked(one.history, one.query))  # type: ignore[attr-defined]
            answer = tuple(lab.tokenizer(one.answer, add_special_tokens=False)["input_ids"])
            with torch.no_grad():
                logp_TV = torch.log_softmax(lab.model(torch.tensor([[*prompt, *answer]])).logits[0], dim=-1)
            own = [float(logp_TV[len(prompt) + k - 1, token]) for k, token in enumerate(answer)]
            assert score == pytest.approx(sum(own) / len(own), abs=2e-3)
    assert found[0]["score"] == pytest.approx(sum(found[0]["scores"]) / 3, abs=1e-3)


def test_what_is_trained_on_becomes_likelier_and_rows_are_not_made_again(
    lab: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """References share their pattern with the pool, so training must help. Break seen to fail: the weights left off."""
    told = asked("base", "ft-10", lr=3e-3)
    rows = run(lab, tmp_path, told).rows
    assert [(row["condition"], row["turn"], row["n"]) for row in rows] == [
        (name, turn, 8) for name in ("base", "ft-10") for turn in (1, 2)
    ]
    assert all(row["judge"] == references.JUDGE and row["score"] < 0 for row in rows)
    for base, tuned in zip(rows[:2], rows[2:], strict=True):
        assert all(b > a for a, b in zip(base["scores"], tuned["scores"], strict=True))
    monkeypatch.setattr(references, "rows", lambda *a: pytest.fail("read again"))
    assert run(lab, tmp_path, told).rows == rows
    # How answers are written changes nothing where none are.
    assert run(lab, tmp_path, replace(told, sampling=replace(told.sampling, temperature=0.7))).rows == rows


def test_other_references_are_other_rows(lab: Loaded, tmp_path: Path) -> None:
    """Break seen to fail: references left out of the key."""
    first = run(lab, tmp_path, asked("base")).rows
    other = replace(MATERIAL, references=MATERIAL.references[:4])
    again = run(lab, tmp_path, asked("base"), other).rows
    assert [row["n"] for row in (*first, *again)] == [8, 8, 4, 4]


def test_an_endpoint_tells_no_likelihoods(lab: Loaded, tmp_path: Path) -> None:
    told = asked("base")
    served = replace(subject.subject_of(told, lab), loaded=None, url="http://localhost:1/v1")
    found = suite.run(told, served, MATERIAL, [], {}, tmp_path)
    assert not found.rows and "probabilities" in found.left_out[0]["why"]


# ---- what may be said of it ------------------------------------------------------------------------------------------


def row(name: str, turn: int, scores: list[float], **more: Any) -> dict[str, Any]:
    usual = {"judge": references.JUDGE, "questions": "references", "seed": 0, "study": "likelihood"}
    decoding = {"temperature": 0, "top_p": 1, "repetition_penalty": 1}
    return {"condition": name, "turn": turn, "scores": scores, **usual, **decoding, **more}


def test_claims_are_by_the_differences_of_each_answer() -> None:
    """Answers differ by far more than conditions do. Breaks seen to fail: conditions compared by other answers;
    a tenth of the whole in place of a tenth of the gain."""
    answers = [-1.0 - 0.5 * k for k in range(30)]

    def above(gain: float, noise: float = 0.02) -> list[float]:
        return [one + gain + noise * (-1) ** k for k, one in enumerate(answers)]

    rows = [
        row("base", 1, answers), row("base", 2, answers),
        row("random-10", 1, above(0.5)), row("random-10", 2, above(0.2)),
        row("random-30", 1, above(0.52, -0.02)),
        row("random-10:shifted", 1, above(0.5, -0.02)), row("ft-30", 2, above(-0.1)),
    ]  # fmt: skip
    found = {one.letter: one.holds for one in claims(rows, references.JUDGE)}
    assert found == {
        "i": "holds", "j": "holds", "k": "holds", "l": "holds", "m": "not settled", "n": "not run", "o": "not run",
        "p": "does not hold", "q": "not run",
    }  # fmt: skip
    rising = [*rows[:-3], row("random-30", 1, above(0.6))]
    assert {one.letter: one.holds for one in claims(rising, references.JUDGE)}["l"] == "does not hold"


def test_the_command_tells_it_and_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["suite", "instruct", "--model", "lab", "--study", "likelihood", "--out", str(tmp_path / "out")]
    assert command(line) == 2 and "--references" in capsys.readouterr().err
    assert command([*line[:4], "--references", "x.jsonl"]) == 2 and "likelihood" in capsys.readouterr().err
    pool = tmp_path / "pool.jsonl"
    pool.write_text(
        "".join(json.dumps({"prompt": one.turns[0].query, "completion": one.turns[0].answer}) + "\n" for one in POOL)
    )
    line += ["--demonstrations", str(pool), "--number", "6", "--conditions", "base,random-3", "--max-new-tokens", "24"]
    assert command(line) == 0
    printed = capsys.readouterr().out
    assert "likelihood of 6 right answers" in printed and "over base" in printed
    assert command([*line, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["condition"], row["turn"]) for row in told["rows"]] == [
        (name, turn) for name in ("base", "random-3") for turn in (1, 2)
    ]
