"""The checker: it passes every world, it finds what is broken on purpose, and it judges what a model writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fewfit.errors import UserError
from fewfit.suites.generalization.checking import check, judge, recall
from fewfit.suites.generalization.published import load_published
from fewfit.suites.generalization.world import Document, Question, Scale, World
from fewfit.suites.generalization.worlds import WORLDS, build
from tests.test_generalization_worlds import NAMES, SPLITS, every_small_world, world

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "data" / "reversal_curse" / "name_description"


@pytest.mark.parametrize(("name", "names", "seed"), every_small_world())
def test_every_small_world_passes(name: str, names, seed: int) -> None:
    report = check(world(name, "small", names, seed))
    assert report.ok, str(report)
    assert report.questions == len(world(name, "small", names, seed).questions)


@pytest.mark.parametrize("name", ["reversals", "syllogisms", "processes"])
def test_worlds_at_the_scale_of_the_paper_pass(name: str) -> None:
    report = check(world(name, "paper"))
    assert report.ok, str(report)


@pytest.mark.slow
def test_ten_thousand_questions_are_derivable_and_none_is_leaked() -> None:
    questions = 0
    for seed in range(100):
        for names in NAMES:
            for name in WORLDS:
                for scale in ("small", "paper") if seed == 0 else ("small",):
                    report = check(build(name, scale=scale, names=names, seed=seed))
                    assert report.ok, f"{name} {scale} {names} {seed}: {report}"
                    questions += report.questions
        if questions >= 10_000 and seed >= 9:
            break
    assert questions >= 10_000
    print(f"{questions} questions: 0 not derivable, 0 leaked")


def pick_question(one: World, split: str, kind: str | None = None) -> Question:
    return next(q for q in one.questions if q.split == split and kind in (None, q.fact[0]))


def faults(one: World) -> set[tuple[str, str]]:
    return {(fault.kind, fault.of) for fault in check(one).faults}


def kinds_of(one: World, of: str) -> set[str]:
    return {kind for kind, where in faults(one) if where == of}


def with_document(one: World, text: str, *facts: tuple[str, ...]) -> World:
    return replace(one, documents=(*one.documents, Document("added", text, facts)))


def with_question(one: World, old: Question, new: Question) -> World:
    return replace(one, questions=tuple(new if question == old else question for question in one.questions))


@pytest.mark.parametrize(
    ("name", "split"), [(name, split) for name in WORLDS for split in sorted(SPLITS[name] - {"rephrasing"})]
)
def test_a_question_that_stands_in_a_document_is_found(name: str, split: str) -> None:
    """The question's own sentence, which says what it asks; where it is a heading and an answer, too."""
    one = world(name)
    question = pick_question(one, split)
    leaked = with_document(one, f"{question.prompt} {question.answer}", question.fact)
    assert "leaked" in kinds_of(leaked, question.id)


@pytest.mark.parametrize("name", list(WORLDS))
def test_a_rephrasing_in_its_own_words_is_found(name: str) -> None:
    question = pick_question(world(name), "rephrasing")
    leaked = with_document(world(name), f"{question.prompt} {question.answer}", question.fact)
    assert kinds_of(leaked, question.id) == {"leaked"}


@pytest.mark.parametrize(
    ("name", "split", "kind", "text"),
    [
        ("reversals", "reversal", None, "They say that {1} are {0} than {2}."),
        ("syllogisms", "syllogism", "no", "To be sure, none of the {2} are {1}."),
        ("syllogisms", "syllogism", "all", "Every {1} is part of the {2}."),
        ("curse", "reversal", None, "In the end {1} was none other than {2}."),
        ("structure", "reversal", "includes", "The {1} comprise the {2}."),
        ("structure", "syllogism", "has", "Any {1} possess {2}."),
        ("structure", "holdout", "can", "The {1} are able to {2}."),
        ("processes", "combination", None, "If you {0} ({1}), you get {2}."),
    ],
)
def test_the_asked_fact_in_other_words_is_found(name: str, split: str, kind: str | None, text: str) -> None:
    question = pick_question(world(name), split, kind)
    leaked = with_document(world(name), text.format(*question.fact), question.fact)
    assert "leaked" in kinds_of(leaked, question.id)


@pytest.mark.parametrize("name", list(WORLDS))
def test_a_question_without_its_reason_is_found(name: str) -> None:
    """All documents are taken out that tell one of the facts that it follows from."""
    one = world(name)
    question = pick_question(one, next(split for split in one.splits if split != "rephrasing"))
    lost = question.made_from[0]
    cut = replace(one, documents=tuple(document for document in one.documents if lost not in document.facts))
    assert "not derivable" in kinds_of(cut, question.id)


@pytest.mark.parametrize("name", list(WORLDS))
def test_a_wrong_option_called_right_is_found(name: str) -> None:
    for split in world(name).splits:
        question = pick_question(world(name), split)
        wrong = next(option for option in question.options if option not in question.right)
        broken = with_question(world(name), question, replace(question, answer=wrong))
        assert {"not derivable", "wrong option follows", "malformed"} <= kinds_of(broken, question.id)


@pytest.mark.parametrize(
    ("name", "split", "kind"),
    [("reversals", "reversal", None), ("curse", "reversal", None), ("structure", "syllogism", "has")],
)
def test_a_wrong_option_that_is_true_is_found(name: str, split: str, kind: str | None) -> None:
    """A document makes it true: the other comparative, another holder of the title, another owner of the part."""
    one = world(name)
    question = pick_question(one, split, kind)
    wrong = next(option for option in question.options if option not in question.right).rstrip(".")
    if name == "reversals":
        more, _, other = wrong.split()
        text, fact = f"Note that {question.fact[1]} are {wrong}.", (more, question.fact[1], other)
    elif name == "curse":
        text, fact = f"{wrong} is known as {question.fact[1]}.", ("is", wrong, question.fact[1])
    else:
        parent = question.made_from[0][2]
        text, fact = f"{parent.capitalize()} have {wrong}.", ("has", parent, wrong)
    assert kinds_of(with_document(one, text, fact), question.id) == {"wrong option follows"}


def test_the_same_option_twice_is_found() -> None:
    question = pick_question(world("curse"), "reversal")
    wrong = next(option for option in question.options if option != question.answer)
    broken = replace(question, options=(question.answer, wrong, wrong, wrong))
    assert "malformed" in kinds_of(with_question(world("curse"), question, broken), question.id)


@pytest.mark.parametrize("name", list(WORLDS))
def test_a_document_whose_facts_lie_is_found(name: str) -> None:
    one = world(name)
    first, other = one.documents[0], next(d for d in one.documents if not set(d.facts) & set(one.documents[0].facts))
    lying = replace(one, documents=(replace(first, facts=other.facts), *one.documents[1:]))
    assert ("misread", first.id) in faults(lying)
    silent = replace(one, documents=(replace(first, facts=()), *one.documents[1:]))
    assert ("misread", first.id) in faults(silent)


def test_a_sentence_that_nobody_can_read_is_found_if_it_names_two_things() -> None:
    one, other = world("structure").questions[0].fact[1], world("structure").questions[0].made_from[0][1]
    assert one == other
    another = next(q.fact[1] for q in world("structure").questions if q.fact[1] != one)
    assert ("misread", "added") in faults(with_document(world("structure"), f"Between {one} lies {another}."))
    assert not faults(with_document(world("structure"), f"Nobody has heard of {one} lately."))


@pytest.mark.parametrize("name", list(WORLDS))
def test_an_inference_that_is_not_true_is_found(name: str) -> None:
    """What one world infers is not true in the next."""
    one, next_one = world(name), world(name, seed=1)
    broken = replace(one, inferences=(*one.inferences, replace(next_one.inferences[0], id="added")))
    assert kinds_of(broken, "added") & {"untrue inference", "misread"}
    cut = replace(one, inferences=one.inferences[:1])
    assert any(kind == "untrue inference" for kind, _ in faults(cut))


def test_more_than_the_parent_told_of_what_is_held_out_is_found() -> None:
    one = world("structure")
    question = pick_question(one, "holdout")
    held = question.made_from[0][1]
    assert "leaked" in kinds_of(with_document(one, f"{held.capitalize()} can zzz.", ("can", held, "zzz")), question.id)


# What a model writes


def test_reversals_are_judged_in_many_words() -> None:
    one = world("reversals")
    question = pick_question(one, "reversal")
    ((more, x, y),) = question.made_from
    less = question.fact[0]
    for said, verdict in (
        (f"So {y} are {less} than {x}.", "true"),
        (f"{y.upper()} IS {less.upper()} THAN {x.upper()}!", "true"),
        (f"The {y} is {less} than the {x}.", "true"),
        (f"Compared to {x}, {y} are {less}.", "true"),
        (f"{x.capitalize()}s are {more} than {y}s.", "true"),
        (f"{x} are {less} than {y}.", "false"),
        (f"{y} are {more} than {x}.", "false"),
        (f"{y} are not {less} than {x}.", "unread"),
        ("I like turtles.", "unread"),
        (f"{x} and {y} are both lovely.", "unread"),
    ):
        assert judge(one, said) == [(said, verdict)]


def test_less_and_not_as_turn_a_comparison_round() -> None:
    one = world("reversals", "paper")
    (fact,) = next(d.facts for d in one.documents if d.facts[0][0] == "brighter")
    _, x, y = fact
    text = (
        f"{y} are less bright than {x}. {y} are not as bright as {x}. "
        f"{x} are less bright than {y}. {x} are less dim than {y}."
    )
    assert [verdict for _, verdict in judge(one, text)] == ["true", "true", "false", "true"]


def test_syllogisms_are_judged() -> None:
    one = world("syllogisms")
    _, x, y = pick_question(one, "syllogism", "all").fact
    text = f"All {x} are {y}. Every {x} is a {y}. Some {y} are {x}. All {y} are {x}. No {x} are {y}."
    assert [verdict for _, verdict in judge(one, text)] == ["true", "true", "true", "false", "false"]
    _, x, y = pick_question(one, "syllogism", "no").fact
    assert [verdict for _, verdict in judge(one, f"None of the {y} are {x}. Some {x} are {y}.")] == ["true", "false"]


def test_kinds_are_judged() -> None:
    one = world("structure")
    _, y, x = pick_question(one, "reversal", "includes").fact
    _, has, part = pick_question(one, "syllogism", "has").fact
    _, verb, done, doer = pick_question(one, "reversal", "by").fact
    text = (
        f"{y.capitalize()} includes {x}. The {y} include the {x}. {x} is a kind of {y}. {y} is a kind of {x}. "
        f"A {has} has {part}. {has} cannot have {part}. The {done} is {verb}ed by the {doer}. {doer} {verb}s {done}. "
        f"{done} {verb} {doer}."
    )
    assert [verdict for _, verdict in judge(one, text)] == [
        "true", "true", "true", "false", "true", "unread", "true", "true", "false",
    ]  # fmt: skip


def test_names_and_terms_are_judged() -> None:
    one = world("curse")
    _, known, name = pick_question(one, "reversal").fact
    other = next(q.fact[2] for q in one.questions if q.split == "reversal" and q.fact[2] != name)
    text = f"So {known} must be {name}.\nIt was {other} who became {known}."
    assert [verdict for _, verdict in judge(one, text)] == ["true", "false"]
    one = world("processes")
    name, term, result = pick_question(one, "combination").fact
    wrong = next(o for q in one.questions if q.fact[1] == term for o in q.options if o != q.answer)
    text = f"{name}({term}) = {result}.\nThe {name} of {term} is {wrong}\nThe {name} of {term} is lovely."
    assert [verdict for _, verdict in judge(one, text)] == ["true", "false", "false"]


@pytest.mark.parametrize("name", list(WORLDS))
def test_the_inferences_recall_everything_and_the_documents_nothing(name: str) -> None:
    one = world(name)
    told = "\n".join(document.text for document in one.inferences)
    assert recall(one, told) == 1
    assert recall(one, "\n".join(document.text for document in one.documents)) == 0
    assert recall(one, "") == 0
    verdicts = [verdict for _, verdict in judge(one, told)]
    assert verdicts.count("false") == 0 and verdicts.count("true") >= 0.5 * len(verdicts)


# The published files


@pytest.mark.parametrize("scale", ["small", pytest.param("paper", marks=pytest.mark.slow)])
def test_the_published_files_make_the_same_world_and_pass(scale: Scale) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("no ../shared/data/reversal_curse here")
    one, like = load_published(PUBLISHED, scale), build("curse", scale=scale)
    for what in ("documents", "questions"):
        assert len(getattr(one, what)) == len(getattr(like, what))
    assert set(one.splits) == {"rephrasing", "reversal"}
    assert {question.chance for question in one.questions} == {1 / 4}
    assert one == load_published(PUBLISHED, scale)
    report = check(one)
    asked = {fault for fault in report.faults if "no inference" not in fault.why}
    assert not asked, str(report)
    question = pick_question(one, "reversal")
    leaked = with_document(one, f"{question.prompt} {question.answer}", question.fact)
    assert "leaked" in kinds_of(leaked, question.id)


def test_a_folder_without_the_published_files_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="name_description"):
        load_published(tmp_path)
