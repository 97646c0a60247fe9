"""The suite of instruction following: what its conditions are, what is asked and trained on, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewfit.cli.main import run as command
from fewfit.draw import number
from fewfit.engine.learner import Track
from fewfit.errors import UserError
from fewfit.judges import Question
from fewfit.judges.rules import RulesJudge
from fewfit.models.local import Loaded
from fewfit.prompts import ChatPrompt, Conversation, Frame, Turn, ours
from fewfit.suites.instruct import studies, subject, suite, tuning
from fewfit.suites.instruct.claims import claims
from fewfit.suites.instruct.conditions import QUALITIES, Weights, condition
from fewfit.suites.instruct.examples import Material, drawn, prompter
from fewfit.suites.instruct.questions import QuestionSet, asks_for_much, followed, load, own
from fewfit.suites.instruct.studies import Sampling, cells, grid

POOL = tuple(Conversation(str(k), (Turn(f"question {k}?", f"answer {k}."),)) for k in range(40))
OTHERS = tuple(Conversation(f"f{k}", (Turn(f"other {k}?", f"foreign {k}."),)) for k in range(9))
MATERIAL = Material(ours(), POOL, OTHERS, POOL[-2:])


@pytest.fixture(scope="module")
def lab() -> Loaded:
    from fewfit.models import local

    return local.load("lab", device="cpu", dtype="float32")


# ---- conditions ------------------------------------------------------------------------------------------------------


def test_a_name_says_the_prompt_and_the_weights() -> None:
    urial = condition("urial")
    assert urial.rules and urial.own and not urial.drawn and urial.weights is None
    some = condition("urial+random-10")
    assert some.rules and some.own and some.drawn == 10
    two = condition("turns-3+tag")
    assert (two.drawn, two.turns, two.tag, two.needs_pool) == (3, 2, True, 6)
    one = condition("random-3+tag")
    assert (one.drawn, one.turns, one.tag, one.needs_pool) == (3, 1, True, 3)
    assert condition("ft-30").weights == Weights(30) and condition("ft-30").needs_pool == 30
    both = condition("icl3+ft-30")
    assert both.weights == Weights(30, 3) and both.drawn == 3
    put = condition("urial:shifted@ft-30")
    assert put.quality == "shifted" and put.own and put.weights == Weights(30)


@pytest.mark.parametrize(
    "name",
    ["", "urail", "random-0", "base+tag", "base:shifted", "urial:worse", "urial@", "urial@base", "icl3+ft-3"],
)
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        condition(name)


def test_the_ten_of_a_prompt_are_the_first_of_the_thirty_that_are_trained_on() -> None:
    ten = drawn(MATERIAL, condition("random-10"), 0)
    assert [one.id for one in ten] == [one.id for one in MATERIAL.order(0)[:10]]
    assert [one.id for one in ten] != [one.id for one in drawn(MATERIAL, condition("random-10"), 1)]
    both = drawn(MATERIAL, condition("urial+random-3"), 0)
    assert both[3:] == ours().demonstrations, "those of the file stand last"
    turns = drawn(MATERIAL, condition("turns-3"), 0)
    assert [len(one.turns) for one in turns] == [2, 2, 2]
    assert drawn(MATERIAL, condition("searched"), 0)[:2] == POOL[-2:]


def test_what_each_ablation_makes_of_the_examples() -> None:
    """Breaks seen to fail: an answer left with its own question under `shifted`; foreign answers of the pool."""
    right = [one.turns[0] for one in ours().demonstrations]
    for quality in QUALITIES:
        name = "urial" if quality == "correct" else f"urial:{quality}"
        shown = [one.turns[0] for one in prompter(MATERIAL, condition(name), 0, chat=False).demonstrations]
        queries, answers = [one.query for one in shown], [one.answer for one in shown]
        assert len(shown) == 3
        assert queries == (["", "", ""] if quality == "answers" else [one.query for one in right])
        if quality == "questions":
            assert answers == ["", "", ""]
        elif quality in ("correct", "answers"):
            assert answers == [one.answer for one in right]
        elif quality == "shifted":
            assert sorted(answers) == sorted(one.answer for one in right)
            assert all(one.answer != answer for one, answer in zip(right, answers, strict=True))
        else:
            source = OTHERS if quality == "out-of-domain" else POOL
            assert set(answers) <= {one.turns[0].answer for one in source} and len(set(answers)) == 3


def test_what_an_example_leaves_empty_is_left_out() -> None:
    shown = prompter(MATERIAL, condition("urial:questions"), 0, chat=True).asked((), "And?")
    assert [one.role for one in shown.messages] == ["system", "user", "user", "user", "user"]


def test_what_cannot_be_had_is_said() -> None:
    poor = Material(ours(), POOL[:5])
    assert "10 examples" in poor.refuse(condition("random-10"))
    assert poor.refuse(condition("searched")) and poor.refuse(condition("urial:out-of-domain"))
    assert not poor.refuse(condition("random-5"))
    bare = Material(ours(), ours().demonstrations)
    assert "twice" in bare.refuse(condition("urial+random-3")) and "others" in bare.refuse(condition("urial:in-domain"))
    pair = Conversation("two", (Turn("a", "b"), Turn("c", "d")))
    assert "2 turns" in Material(ours(), (pair, *POOL)).refuse(condition("turns-3"))


def test_a_study_goes_on_without_what_cannot_be_had(lab: Loaded, tmp_path: Path) -> None:
    """Break seen to fail: every condition's prompt was made first, to see which questions fit."""
    told = asked(conditions=("base", "urial", "urial:out-of-domain", "urial:in-domain"))
    asking, some = subject.subject_of(told, lab), QuestionSet("ours", tuple(own()[:2]))
    found = suite.run(told, asking, Material(ours(), ours().demonstrations), [some], {"ours": [RulesJudge()]}, tmp_path)
    assert found.rows and {"urial:out-of-domain", "urial:in-domain"} <= {one["condition"] for one in found.left_out}


# ---- questions -------------------------------------------------------------------------------------------------------


def test_in_the_second_turn_all_that_was_asked_for_is_checked() -> None:
    for one in own():
        assert len(one.turns) == 2 and len(one.checks[0]) == 1 and len(one.checks[1]) == 2
        assert one.checks[1][0] == one.checks[0][0] != one.checks[1][1]
    alone = Question("1", ("Say it.",), checks=((own()[0].checks[0][0],),))
    assert followed(alone, ()) == alone, "nothing else to ask for"


def test_questions_that_want_long_answers_are_passed_over() -> None:
    def asking(**arguments: Any) -> Question:
        return replace(own()[0], checks=((replace(own()[0].checks[0][0], arguments=arguments),),))

    assert asks_for_much(asking(relation="at least", num_words=300), 128)
    assert not asks_for_much(asking(relation="less than", num_words=300), 128)
    assert not asks_for_much(asking(relation="at least", num_words=50), 128)


def test_published_questions_need_a_folder() -> None:
    with pytest.raises(UserError, match="ifeval"):
        load("ifeval", None, 4, 128)
    with pytest.raises(UserError, match="unknown questions"):
        load("ifevil", None, 4, 128)


# ---- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [Frame(), None], ids=["frame", "chat"])
def test_training_sees_the_examples_as_prompts_show_them(lab: Loaded, frame: Frame | None) -> None:
    """The ids of a row are those of the prompt with its answer behind it, and loss falls on all answers.

    Break seen to fail: the fence left out of the training template.
    """
    if frame is None and not lab.tokenizer.chat_template:
        pytest.skip("lab has no chat template")
    renderer = tuning.renderer_for(lab, frame)
    examples = tuning.as_examples(POOL[:5])
    row = tuning.row(renderer, examples[:2], examples[2], Track("t", 0))
    text = renderer.encoder.decode(row.ids)
    for one in POOL[:3]:
        assert one.turns[0].query in text and one.turns[0].answer in text
    assert len(row.loss) == 3 and row.loss == row.spans
    said = [renderer.encoder.decode(row.ids[a:b]) for a, b in row.loss]
    assert all(one.turns[0].answer in some and "question" not in some for one, some in zip(POOL, said, strict=False))
    if frame is not None:
        shown = prompter(Material(ours(), POOL[:5]), condition("base"), 0, chat=False)
        before = shown.asked(
            [Turn(one.turns[0].query, one.turns[0].answer) for one in POOL[:2]], POOL[2].turns[0].query
        )
        assert text.startswith(before.text)


def test_each_example_is_seen_as_often_as_the_others(lab: Loaded) -> None:
    renderer = tuning.renderer_for(lab, Frame())
    examples, lane = tuning.as_examples(POOL[:4]), tuning.lane_of(Weights(4, 1), 1e-3)
    steps = -(-4 * lane.updates // lane.batch)
    rows = [row for some in tuning.lessons(renderer, POOL[:4], lane, tuning.Track("t", 0), steps) for row in some]
    texts = [renderer.encoder.decode(row.ids) for row in rows]
    targets = [max(examples, key=lambda one: text.rfind(one.completion)).id for text in texts]
    assert sorted(targets.count(one.id) for one in examples) == [6, 6, 6, 6]
    assert all(len(row.spans) == 2 for row in rows), "one other before each"


# ---- the whole -------------------------------------------------------------------------------------------------------


def asked(**changed: Any) -> subject.Asked:
    usual = {"conditions": ("base", "urial", "ft-3"), "number": 3, "max_new_tokens": 8}
    return subject.Asked("lab", **(usual | changed))


def outcome(lab: Loaded, folder: Path, told: subject.Asked, questions: Sequence[Question] = ()) -> suite.Outcome:
    some = QuestionSet("ours", tuple(questions) or tuple(own()[: told.number]))
    asking = subject.subject_of(told, lab)
    return suite.run(told, asking, MATERIAL, [some], {"ours": [RulesJudge()]}, folder)


def test_cells_are_judged_by_turn_kept_and_not_made_again(
    lab: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break seen to fail: answers of the model as it came taken for the tuned one's."""
    first = outcome(lab, tmp_path, asked())
    assert [(row["condition"], row["turn"]) for row in first.rows] == [
        (name, turn) for name in ("base", "urial", "ft-3") for turn in (1, 2)
    ]
    assert all(row["n"] == 3 == len(row["scores"]) and 0 <= row["score"] <= 1 for row in first.rows)
    whole = (tmp_path / "rows.jsonl").read_bytes()
    monkeypatch.setattr(suite, "answers", lambda *a: pytest.fail("asked again"))
    assert outcome(lab, tmp_path, asked()).rows == first.rows
    assert (tmp_path / "rows.jsonl").read_bytes() == whole
    assert len(list((tmp_path / "answers").iterdir())) == 3


def test_a_judge_that_comes_later_reads_the_answers_that_are_there(
    lab: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asked(conditions=("base",))
    outcome(lab, tmp_path, told)
    made = sorted((tmp_path / "answers").iterdir())[0].read_bytes()
    asking = subject.subject_of(told, lab)
    monkeypatch.setattr(asking.writer, "stream", lambda *a: pytest.fail("written again"))
    some = QuestionSet("ours", tuple(own()[:3]))
    loose = RulesJudge("rules-loose", strict=False)
    rows = suite.run(told, asking, MATERIAL, [some], {"ours": [RulesJudge(), loose]}, tmp_path).rows
    assert {row["judge"] for row in rows} == {"rules", "rules-loose"}
    assert sorted((tmp_path / "answers").iterdir())[0].read_bytes() == made


def test_tuned_weights_are_made_once_and_taken_off_again(lab: Loaded, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in lab.model.named_parameters()}
    told: list[str] = []
    asking = subject.subject_of(asked(), lab)
    some = [QuestionSet("ours", tuple(own()[:2]))]
    for names in (("ft-3",), ("ft-3", "urial@ft-3")):
        suite.run(asked(conditions=names), asking, MATERIAL, some, {"ours": [RulesJudge()]}, tmp_path, told.append)
    assert sum("step 9 of 9" in one for one in told) == 1
    after = dict(lab.model.named_parameters())
    assert set(after) == set(before) and all(bool((after[name] == value).all()) for name, value in before.items())
    assert len(list((tmp_path / "weights").iterdir())) == 1


@pytest.mark.parametrize("what", ["pool", "questions", "judge", "endpoint"])
def test_what_makes_a_row_is_in_its_key(what: str, lab: Loaded, tmp_path: Path) -> None:
    """Rows of another pool, other questions under the same name, another judge of the same name or another address are
    not taken for these. Breaks seen to fail: each left out of the key."""
    told, one = asked(conditions=("ft-3",)), QuestionSet("ours", tuple(own()[:2]))
    asking = subject.subject_of(told, lab)
    first = suite.run(told, asking, MATERIAL, [one], {"ours": [RulesJudge()]}, tmp_path).rows
    material, judge = MATERIAL, RulesJudge()
    if what == "pool":
        others = tuple(replace(one, turns=(Turn(one.turns[0].query, "Other."),)) for one in POOL)
        material = replace(MATERIAL, pool=others)
    elif what == "questions":
        one = QuestionSet("ours", tuple(own()[2:4]))
    elif what == "judge":
        judge = RulesJudge("rules", strict=False)
    else:
        asking = replace(asking, loaded=None, url="http://localhost:1/v1")
        assert asking.digest == "http://localhost:1/v1"
        return
    again = suite.run(told, asking, material, [one], {"ours": [judge]}, tmp_path).rows
    assert [row["material"] for row in again] != [row["material"] for row in first]
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 4
    assert len(list((tmp_path / "weights").iterdir())) == (2 if what == "pool" else 1)


def test_two_names_of_one_prompt_share_their_answers(lab: Loaded, tmp_path: Path) -> None:
    """Break seen to fail: answers kept under the condition's name."""
    bare = replace(MATERIAL, urial=replace(ours(), demonstrations=(), as_written={}))
    told = asked(conditions=("rules", "urial"))
    asking, some = subject.subject_of(told, lab), QuestionSet("ours", tuple(own()[:2]))
    rows = suite.run(told, asking, bare, [some], {"ours": [RulesJudge()]}, tmp_path).rows
    assert [row["scores"] for row in rows[:2]] == [row["scores"] for row in rows[2:]]
    assert len(list((tmp_path / "answers").iterdir())) == 1


def test_all_conditions_are_asked_the_questions_that_fit_any_of_them(lab: Loaded, tmp_path: Path) -> None:
    """Break seen to fail: the rules not counted."""
    limit = lab.model.config.max_position_embeddings
    longer = replace(own()[0], id="long", turns=("word " * (limit - 60), "Again."))
    told = asked(conditions=("base", "rules"))
    asking, heard = subject.subject_of(told, lab), list[str]()
    some = QuestionSet("ours", (*own()[:2], longer))
    rows = suite.run(told, asking, MATERIAL, [some], {"ours": [RulesJudge()]}, tmp_path, heard.append).rows
    assert {len(row["scores"]) for row in rows} == {2} and any("1 of 3 questions do not fit" in one for one in heard)


def test_training_that_diverges_is_left_out_and_not_kept(
    lab: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break seen to fail: its weights published as trained."""
    told = asked(conditions=("base", "ft-3"), lr=1e9)
    asking, some = subject.subject_of(told, lab), QuestionSet("ours", tuple(own()[:2]))
    for _ in range(2):
        found = suite.run(told, asking, MATERIAL, [some], {"ours": [RulesJudge()]}, tmp_path)
        assert {row["condition"] for row in found.rows} == {"base"}
        assert "diverged" in found.left_out[0]["why"]


def test_a_condition_that_does_not_fit_is_left_out_and_said(lab: Loaded, tmp_path: Path) -> None:
    long = Conversation("long", (Turn("q " * 3000, "a " * 3000),))
    told = asked(conditions=("base", "searched", "random-39"))
    material = replace(MATERIAL, searched=(long,), pool=POOL[:3])
    asking = subject.subject_of(told, lab)
    some = [QuestionSet("ours", tuple(own()[:2]))]
    found = suite.run(told, asking, material, some, {"ours": [RulesJudge()]}, tmp_path)
    assert {row["condition"] for row in found.rows} == {"base"}
    assert [one["condition"] for one in found.left_out] == ["searched", "random-39"]
    assert "tokens" in found.left_out[0]["why"] and "examples" in found.left_out[1]["why"]


def test_the_divergence_of_the_model_from_itself_is_nothing(lab: Loaded, tmp_path: Path) -> None:
    """Break seen to fail: the tuned weights left off when their distributions are read."""
    told = asked(studies=("divergence",), conditions=("base", "urial", "ft-3"))
    pool = tuple(Conversation(f"{k}", (Turn(f"q {k}", f"a {k} b c d"),)) for k in range(60))
    asking = subject.subject_of(told, lab)
    found = suite.run(told, asking, replace(MATERIAL, pool=pool), [], {}, tmp_path)
    by_name = {row["condition"]: row["score"] for row in found.rows}
    assert by_name["base"] == pytest.approx(0, abs=1e-4) and by_name["urial"] > 1e-3 and by_name["ft-3"] > 1e-3
    assert all(len(row["by_token"]) >= 2 for row in found.rows)


def test_greedy_is_asked_once_and_a_seed_only_where_it_makes_a_difference() -> None:
    assert len(grid()) == 20
    some = list(cells("comparison", ("base", "urial", "random-3", "ft-3"), Sampling(), 2))
    assert [(one.condition.name, one.seed) for one in some if one.seed] == [("random-3", 1), ("ft-3", 1)]
    sampled = list(cells("decoding", ("base",), Sampling(), 2))
    assert len(sampled) == 20 + 18 and {one.sampling.temperature for one in sampled if one.seed} == {0.3, 0.5, 1.0}


@pytest.mark.slow
def test_the_command_prints_one_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = command(["suite", "instruct", "--model", "lab", "--quick", "--out", str(tmp_path / "out"), "--json"])
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    keys = {"model", "study", "condition", "turn", "judge", "score", "stderr", "n"}
    assert all(keys <= set(row) for row in told["rows"])
    assert {row["condition"] for row in told["rows"]} == {"base", "urial", "ft-3"}


# ---- claims ----------------------------------------------------------------------------------------------------------


def row(study: str, name: str, turn: int, scores: list[float], **more: Any) -> dict[str, Any]:
    usual = {"judge": "rules", "questions": "ours", "seed": 0, "temperature": 0, "top_p": 1, "repetition_penalty": 1}
    return {"study": study, "condition": name, "turn": turn, "scores": scores, **usual, **more}


def test_claims_are_told_with_their_difference() -> None:
    low, high = [0.0] * 40, [1.0] * 40
    rows = [
        row("comparison", "base", 1, low), row("comparison", "urial", 1, high),
        row("comparison", "base", 2, low), row("comparison", "urial", 2, high),
        row("comparison", "ft-30", 2, [0.5] * 40),
        *(row("decoding", "base", 1, [k / 4] * 4, temperature=k) for k in range(4)),
        *(row("decoding", "ft-30", 1, [0.5] * 4, temperature=k) for k in range(4)),
        row("scaling", "random-10", 1, high), row("scaling", "random-30", 1, high),
    ]  # fmt: skip
    found = {one.letter: one.holds for one in claims(rows)}
    assert found == {
        "a": "holds", "b": "does not hold", "c": "does not hold", "d": "not run", "e": "not run", "f": "holds",
        "g": "not run", "h": "not settled",
    }  # fmt: skip


def test_seeds_of_a_question_are_no_further_questions() -> None:
    """What is the same for all seeds is compared with their mean, in an interval as wide as with one."""
    base = row("comparison", "base", 1, [0.0, 1.0] * 20)
    one, three = (
        claims([base, *(row("comparison", "urial", 1, [1.0, 1.0] * 20, seed=seed) for seed in range(n))])[0]
        for n in (1, 3)
    )  # fmt: skip
    assert one == three and one.holds == "holds"


def test_variances_over_decodings_are_compared_by_their_questions() -> None:
    """Where no setting matters nothing is found, whatever the level: a model that is right half of the time has the
    larger range. Breaks seen to fail: ranges; the noise left in."""

    def scores(level: int, *key: int) -> list[float]:
        return [float(number("coin", level, *key, k) % 10 < level) for k in range(40)]

    def found(worlds: int, base: int, tuned: int, matters: bool = False) -> list[str]:
        held = []
        for world in range(worlds):
            rows = [
                row("decoding", name, 1, scores(max(level - 2 * t * (matters and name == "base"), 0), world, t),
                    temperature=t)
                for name, level in (("base", base), ("ft-30", tuned))
                for t in range(4)
            ]  # fmt: skip
            claim = next(one for one in claims(rows) if one.letter == "f")
            assert "apart by" in claim.figures
            held.append(claim.holds)
        return held

    assert found(40, 5, 1).count("holds") <= 3
    assert found(10, 8, 8, matters=True).count("holds") >= 8


def test_conversations_go_through_the_chat_template_where_there_is_one() -> None:
    assert isinstance(prompter(MATERIAL, condition("urial"), 0, chat=True), ChatPrompt)
    assert studies.NAMED["quality"][0] == "base"
