"""When answers are choices, what labels mean, and what a run folder keeps of the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewfit.errors import UserError
from fewfit.examples import Dataset, Example, Message, digest, load, restore, save


def rows(answers: Sequence[Any], output: str = "completion") -> list[dict[str, Any]]:
    return [{"prompt" if output == "completion" else "text": f"p{n}", output: a} for n, a in enumerate(answers)]


def refusal(source: Any, **options: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        load(source, **options)
    assert caught.value.hint
    return caught.value


# ---- found -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (["yes", "no"] * 2, ("no", "yes")),
        (["yes", "no", "yes"], None),  # two of three: too few to say
        (["c", "b", "a"] * 2, ("a", "b", "c")),
        (["d", "c", "b", "a"] * 2, None),  # four want twelve rows
        (["d", "c", "b", "a"] * 3, ("a", "b", "c", "d")),
        ([f"w{n}" for n in range(20)] * 3, tuple(sorted(f"w{n}" for n in range(20)))),
        ([f"w{n}" for n in range(21)] * 4, None),
        (["same"] * 9, None),
        (["one line", "two\nlines"] * 5, None),
        (["a short one", "this one has far too many words"] * 5, None),
        (["1", "2", "3", "4", "5"] * 3, ("1", "2", "3", "4", "5")),
        (["1", "2", "3", "4", "5", "6"] * 3, None),  # a count: the next may be 7
        (["1", "2", "3", "4", "5", "six"] * 3, ("1", "2", "3", "4", "5", "six")),
    ],
)
def test_few_answers_that_repeat_are_choices(answers: list[str], found: tuple[str, ...] | None) -> None:
    """Break seen to fail: the bound of a third made a half; `sorted` left out."""
    assert load(rows(answers)).choices == found


def test_a_label_column_needs_less() -> None:
    """Break seen to fail: `label_column` always False."""
    answers = [f"intent {n} of a great many that one may have" for n in range(40)] * 2
    assert load(rows(answers)).choices is None
    assert load(rows(answers, "label")).choices == tuple(sorted(set(answers)))
    assert load(rows(answers[:60], "label")).choices is None  # hardly any stands there twice


def test_the_order_of_rows_does_not_show_in_the_choices() -> None:
    answers = ["b", "c", "a"] * 3
    assert load(rows(answers)).choices == load(rows(answers[::-1])).choices


def test_choices_are_given() -> None:
    answers = ["yes", "no", "yes"]
    assert load(rows(answers), choices="yes, no,maybe").choices == ("yes", "no", "maybe")
    assert load(rows(answers), choices=["no", "yes"]).choices == ("no", "yes")
    assert load(rows(["yes", "no"] * 3), choices="none").choices is None
    own = [row | {"choices": ["yes", "no"]} for row in rows(answers)]
    assert load(own, choices="none").examples[0].choices is None
    mixed = load([*own, *rows(["yes", "no"] * 3)], choices="rows", keep_duplicates=True)
    assert (mixed.choices, mixed.examples[0].choices) == (None, ("yes", "no"))


@pytest.mark.parametrize("content", ["a, b\nno\n\nyes\n", '["a, b", "no", "yes"]'])
def test_choices_are_read_from_a_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.txt").write_text(content)
    assert load(rows(["yes", "no", "a, b"]), choices=f"@{tmp_path / 'labels.txt'}").choices == ("a, b", "no", "yes")


def test_choices_in_brackets_are_read_from_a_file(tmp_path: Path) -> None:
    """Break seen to fail: what begins with a bracket taken for JSON alone."""
    path = tmp_path / "labels.txt"
    path.write_text("[POS]\n[NEG]\nneither\n")
    assert load(rows(["[POS]", "[NEG]", "neither"]), choices=f"@{path}").choices == ("[POS]", "[NEG]", "neither")
    for broken in ('["yes", "no",]', '["yes",\n"no",]'):
        path.write_text(broken)
        assert "not JSON" in str(refusal(rows(["yes", "no", "yes"]), choices=f"@{path}"))


@pytest.mark.parametrize("from_file", [True, False])
def test_choices_are_written_as_answers_are(from_file: bool, tmp_path: Path) -> None:
    """Break seen to fail: the choices True and False beside answers true and false."""
    (tmp_path / "labels.json").write_text("[true, false]")
    choices: Any = f"@{tmp_path / 'labels.json'}" if from_file else [True, False]
    assert load(rows([True, False, True]), choices=choices).choices == ("true", "false")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("yes,perhaps", "row 2: the answer 'no' is none of the choices yes, perhaps"),
        ("yes", "fewer than two choices"),
        ("yes,,no", "an empty choice"),
        ("yes,no,yes", "'yes' stands twice"),
        ("@nowhere", "no file 'nowhere'"),
    ],
)
def test_choices_that_do_not_fit_are_refused(given: str, words: str) -> None:
    assert words in str(refusal(rows(["yes", "no", "yes"]), choices=given))


def test_rows_without_choices_of_their_own_have_those_of_the_data() -> None:
    own = {"prompt": "q", "completion": "z", "choices": ["x", "y", "z"]}
    data = load([*rows(["yes", "no"] * 3), own])
    assert data.choices == ("no", "yes")
    assert [e.choices for e in data.examples] == [None] * 6 + [("x", "y", "z")]


# ---- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0, 1, 1], ["0", "1", "1"], ["0", " 1", "1 "]])
@pytest.mark.parametrize("labels", ["0=negative, 1=positive", {0: "negative", "1": " positive"}])
def test_labels_say_what_values_mean(values: list[Any], labels: Any) -> None:
    data = load(rows(values, "label"), labels=labels)
    assert [e.completion for e in data.examples] == ["negative", "positive", "positive"]
    assert not any("numbers" in notice for notice in data.notices)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("0=negative", "row 2: no label is given for '1'"),
        ("0,1", "'0' is no value=label"),
        ("0=a,0=b", "one value is given two labels"),
        ({0: "a", 1: " "}, "the label of '1' is empty"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: Any, words: str) -> None:
    assert words in str(refusal(rows([0, 1, 1], "label"), labels=labels))


def test_doubtful_labels_are_noticed() -> None:
    notices = " | ".join(load(rows(["Yes", "no", "yes"] * 3, "label")).notices)
    assert "two choices that differ in case alone: 'Yes' (3) and 'yes' (3)" in notices
    assert "bare numbers" in " | ".join(load(rows([0, 1] * 3, "label")).notices)
    assert "labels that no row has: 2" in " | ".join(load(rows([0, 1] * 3, "label"), labels="0=a,1=b,2=c").notices)
    assert "all answers are the same" in load(rows(["x"] * 4)).notices
    own = [{"prompt": f"p {n}", "completion": "yes", "choices": ["yes", "no"]} for n in range(4)]
    assert "bare numbers" not in " | ".join(load(own, choices="yes,no").notices)


# ---- saved -----------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
MESSAGE = st.builds(Message, st.sampled_from(["system", "user"]), TEXT)
EXAMPLE = st.builds(
    Example,
    id=TEXT,
    prompt=TEXT | st.lists(MESSAGE, min_size=1, max_size=3).map(tuple),
    completion=TEXT,
    choices=st.none() | st.lists(TEXT, min_size=2, max_size=3).map(tuple),
    group=st.none() | TEXT,
)


@settings(max_examples=60, deadline=None)
@given(
    examples=st.lists(EXAMPLE, min_size=1, max_size=4).map(tuple),
    choices=st.none() | st.lists(TEXT, max_size=3).map(tuple),
    notices=st.lists(TEXT, max_size=2).map(tuple),
)
def test_what_is_saved_is_restored_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    examples: tuple[Example, ...],
    choices: tuple[str, ...] | None,
    notices: tuple[str, ...],
) -> None:
    """Break seen to fail: splitlines() in restore; `group` left out of as_dict."""
    data = Dataset(examples, choices, notices, "reviews", digest(examples))
    path = tmp_path_factory.mktemp("run") / "examples.jsonl"
    save(data, path)
    assert restore(path) == data
    first = path.read_bytes()
    save(restore(path), path)
    assert path.read_bytes() == first
    assert len(first.split(b"\n")) == len(examples) + 1


def test_saved_examples_are_plain_rows_that_load_reads(tmp_path: Path) -> None:
    data = load(rows(["yes", "no"] * 3) + [{"prompt": "q", "completion": "x", "choices": ["x", "y"], "group": 7}])
    path = tmp_path / "examples.jsonl"
    save(data, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == [str(n) for n in range(1, 8)]
    again = load(path)
    assert (again.examples, again.choices, again.digest) == (data.examples, data.choices, data.digest)
    assert again.notices == ()


@pytest.mark.parametrize("what", ["id", "prompt", "completion", "choices", "group"])
def test_the_digest_sees_every_field(what: str) -> None:
    example = Example("1", "p", "c", ("c", "d"), "g")
    change: dict[str, Any] = {what: ("c", "e") if what == "choices" else "z"}
    other = replace(example, **change)
    assert digest([example]) != digest([other])
    assert digest([Example("1", "p", "c")]) == digest([Example("1", "p", "c")])


def test_changed_or_broken_examples_are_refused(tmp_path: Path) -> None:
    """Break seen to fail: without the comparison of digests in restore, the changed row is taken."""
    path = tmp_path / "examples.jsonl"
    save(load(rows(["yes", "no", "yes"])), path)
    good = path.read_text()
    for content, words in [
        (good.replace('"p1"', '"p9"'), "changed since the run began"),
        (good[:40], "not the examples of a run"),
        ("", "not the examples of a run"),
        ("[]\n", "not the examples of a run"),
    ]:
        path.write_text(content)
        with pytest.raises(UserError, match=words):
            restore(path)
    with pytest.raises(UserError, match="has no examples"):
        restore(tmp_path / "none.jsonl")
