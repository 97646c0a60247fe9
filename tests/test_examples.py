"""What comes in is read, checked, and refused with its line and how to mend it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewfit.demonstrations.delivery import query_number
from fewfit.errors import UserError
from fewfit.examples import Example, Message, load, restore, save

BBH = Path(__file__).resolve().parents[2] / "shared" / "data" / "bbh"
ROWS = [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(1, 5)]


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def refusal(source: Any, **options: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        load(source, **options)
    error = caught.value
    assert error.hint, f"no word on how to mend: {error}"
    assert "\n" not in str(error)
    return error


def pairs(dataset: Any) -> list[tuple[str, str]]:
    return [(example.prompt, example.completion) for example in dataset.examples]


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_jsonl_is_read_with_row_numbers_as_ids(tmp_path: Path) -> None:
    data = load(jsonl(tmp_path / "My Data_1.jsonl", ["", *ROWS[:2], "  ", *ROWS[2:]]))
    assert data.examples == tuple(Example(str(n), f"p{n}", f"c{n}") for n in range(1, 5))
    assert (data.choices, data.notices, data.source, len(data)) == (None, (), "my-data-1", 4)


def test_the_same_rows_are_the_same_examples_in_every_format(tmp_path: Path) -> None:
    lines = [f"p{n}\tc{n}" for n in range(1, 5)]
    (tmp_path / "a.tsv").write_text("\n".join(["prompt\tcompletion", *lines]))
    (tmp_path / "a.csv").write_text("\r\n".join(["prompt,completion", *lines]).replace("\t", ","))
    (tmp_path / "b.csv").write_text("\n".join(["prompt;completion", *lines]).replace("\t", ";"))
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    (tmp_path / "b.json").write_text(json.dumps({"canary": [1, {"examples": 2}], "examples": ROWS, "more": None}))
    (tmp_path / "c.json").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "c.jsonl").write_text(json.dumps(ROWS, indent=1))
    jsonl(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "d.jsonl").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.jsonl").read_bytes().replace(b"\n", b"\r\n"))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 9
    digests = {path.name: load(path).digest for path in files}
    digests["list"] = load(ROWS).digest
    digests["tuples"] = load([(row["prompt"], row["completion"]) for row in ROWS]).digest
    digests["examples"] = load(load(ROWS).examples).digest
    assert len(set(digests.values())) == 1, digests


def test_frames_and_datasets_are_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(ROWS)
    frame.to_parquet(tmp_path / "a.parquet")
    want = load(ROWS)
    for source in (frame, datasets.Dataset.from_list(ROWS), tmp_path / "a.parquet"):
        assert load(source).examples == want.examples


def test_class_names_of_a_dataset_become_labels() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "stance": datasets.ClassLabel(names=["con", "pro"])}
    )
    rows = {"text": list("abcd"), "stance": [0, 1, 1, 0]}
    data = load(datasets.Dataset.from_dict(rows, features=features), input="text", output="stance")
    assert [e.completion for e in data.examples] == ["con", "pro", "pro", "con"]
    assert data.choices == ("con", "pro")
    assert any("names that the data set has" in notice for notice in data.notices)
    secret = datasets.Dataset.from_dict({**rows, "stance": [0, 1, 1, -1]}, features=features)
    error = refusal(secret, input="text", output="stance")  # break seen to fail: the answer "-1"
    assert (error.where, "the answer is -1" in error.message) == ("row 4", True)


def test_class_names_are_found_in_parquet_too(tmp_path: Path) -> None:
    """Break seen to fail: the schema's metadata not read, so that answers are 0 and 1."""
    datasets = pytest.importorskip("datasets")
    arrow = pytest.importorskip("pyarrow")
    names = datasets.ClassLabel(names=["con", "pro"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    rows = {"text": list("abcd"), "label": [0, 1, 1, 0]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    assert [e.completion for e in load(tmp_path / "a.parquet").examples] == ["con", "pro", "pro", "con"]
    for metadata in ({"huggingface": "no JSON"}, {"huggingface": '{"info": []}'}):
        table = arrow.table(rows).replace_schema_metadata(metadata)
        __import__("pyarrow.parquet").parquet.write_table(table, tmp_path / "b.parquet")
        assert [e.completion for e in load(tmp_path / "b.parquet").examples] == ["0", "1", "1", "0"]


def test_missing_cells_of_a_frame_are_null() -> None:
    """Break seen to fail: without the NaN test in cells.missing, the answer "nan" is learned."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"prompt": ["a", "b", "c", "d"], "completion": ["x", None, "y", "z"], "group": [1, 1, None, 2]}
    )
    error = refusal(frame)
    assert (error.where, error.message) == ("row 2", "the answer is null")
    data = load(frame, skip_bad=True)
    assert [(e.id, e.group) for e in data.examples] == [("1", "1"), ("3", None), ("4", "2")]
    frame["completion"] = pandas.array([1, pandas.NA, 0, 1], dtype="Int64")
    assert refusal(frame).message == "the answer is null"


def test_whole_numbers_of_a_frame_stay_whole_where_one_is_missing() -> None:
    """Break seen to fail: the answers 0.0 and 1.0."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": list("abcde"), "label": [0, 1, None, 1, 0], "note": [0.5, 1, None, 1, 0]})
    assert load(frame, skip_bad=True).choices == ("0", "1")
    notes = load(frame, input="text", output="note", skip_bad=True)
    assert [e.completion for e in notes.examples] == ["0.5", "1.0", "1.0", "0.0"]


def test_parquet_without_its_extra_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert "fewfit[data]" in str(refusal(tmp_path / "a.parquet"))


def test_messages_answer_with_their_last_turn() -> None:
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "v"},
    ]
    answers = [{"role": "assistant", "content": f"b{n}"} for n in range(3)]
    data = load([{"messages": [*turns, answer]} for answer in answers])
    assert data.examples[1].prompt == tuple(Message(t["role"], t["content"]) for t in turns)  # type: ignore[arg-type]
    assert [e.completion for e in data.examples] == ["b0", "b1", "b2"]
    same = load([{"prompt": turns, "completion": [answer]} for answer in answers])
    assert same.digest == data.digest == load(data.examples).digest


def test_prompts_are_the_same_that_are_read_the_same() -> None:
    """Break seen to fail: `foo` stood in the prompt of `foo `, with its answer."""
    rows = [("foo", "a"), ("foo ", "a"), ("bar", "b"), ("baz", "b")]
    assert [one.prompt for one in load(rows).examples] == ["foo", "bar", "baz"]
    text, turn, two = (
        Example(id, prompt, "x")
        for id, prompt in (
            ("1", " hi"), ("2", (Message("user", "hi\n"),)), ("3", (Message("system", "s"), Message("user", "hi"))),
        )
    )  # fmt: skip
    assert text.conflicts_with(turn) and not text.conflicts_with(two)
    assert query_number(text) == query_number(turn) != query_number(two)


def test_optional_columns() -> None:
    rows = [row | {"id": n + 10, "group": "g", "choices": [row["completion"], "other"]} for n, row in enumerate(ROWS)]
    data = load(rows)
    assert data.examples[0] == Example("10", "p1", "c1", ("c1", "other"), "g")
    assert data.choices is None


def test_groups_that_keep_rows_apart_are_noticed() -> None:
    """Break seen to fail: no word, where a column `group` of somebody's own leaves prompts without demonstrations."""
    rows = [row | {"group": n // 2} for n, row in enumerate(ROWS)]
    assert load(rows).notices == ("rows that share a `group` never stand in one prompt: 2 groups",)
    assert load([row | {"group": n} for n, row in enumerate(ROWS)]).notices == ()


def test_choices_of_a_csv_are_json(tmp_path: Path) -> None:
    rows = ["prompt,completion,choices,id,group", *(f'p{n},a,"[""a"", ""b""]",,' for n in range(3))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(rows))
    data = load(path)
    assert [(e.id, e.choices, e.group) for e in data.examples] == [(str(n), ("a", "b"), None) for n in (1, 2, 3)]


# ---- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("input", "output"),
    [("text", "label"), ("input", "target"), ("question", "answer"), ("Text", " Label "), ("sentence", "label")],
)
def test_usual_columns_are_found_with_a_notice(input: str, output: str) -> None:
    data = load([{input: f"p{n}", output: f"c{n}", "extra": 1} for n in range(3)])
    assert pairs(data) == [(f"p{n}", f"c{n}") for n in range(3)]
    assert any(repr(input) in notice for notice in data.notices)
    assert "columns that are not used: extra" in data.notices


def test_columns_are_named() -> None:
    rows = [{"title": f"t{n}", "verdict": f"v{n}", "text": "x", "label": "y"} for n in range(3)]
    assert pairs(load(rows, input="title", output="Verdict")) == [(f"t{n}", f"v{n}") for n in range(3)]
    assert pairs(load(rows, input="text", keep_duplicates=True)) == [("x", "y")] * 3
    error = refusal(rows, input="titel", output="verdict")
    assert "title, verdict, text, label" in error.message
    assert error.hint == "did you mean --input title?"
    assert "--output" in str(refusal(rows, input="title"))


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"prompt": "p", "completion": "c", "messages": []}, ("prompt/completion", "messages")),
        ({"text": "p", "label": "c", "question": "q", "answer": "a"}, ("text/label", "question/answer")),
        ({"text": "p", "label": "c", "target": "t"}, ("text/label", "text/target")),
    ],
)
def test_a_row_that_fits_two_formats_is_refused(row: dict[str, Any], named: tuple[str, str]) -> None:
    """Break seen to fail: `return fits[0]` where there are several."""
    error = refusal([row] * 3)
    assert all(name in error.message for name in named)
    assert error.where == "row 1"


def test_columns_of_another_format_may_stand_empty() -> None:
    assert len(load([row | {"messages": None} for row in ROWS])) == 4


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "a document", "lable": "misspelt"}, "the columns are: text, lable"),
        ({"instruction": "i", "input": "x", "output": "y"}, "Alpaca"),
        ({"prompt": "p", "chosen": "x", "rejected": "y"}, "chosen and a rejected"),
        ({"conversations": []}, "ShareGPT"),
        ({"prompt": "p", "completion": "c", "label": False}, "keep the rows with label true"),
        ({"premise": "a", "hypothesis": "b"}, "the columns are: premise, hypothesis"),
        ({"prompt": "p"}, "the columns are: prompt"),
        ({}, "the columns are: none"),
    ],
)
def test_what_is_not_read_is_said(row: dict[str, Any], words: str) -> None:
    assert words in str(refusal([row] * 3))


def test_text_alone_is_a_document(tmp_path: Path) -> None:
    dataset = load([{"text": " One. "}, {"text": "Two."}, {"text": "One.", "id": "twin"}, {"text": "3"}])
    assert [(one.id, one.prompt, one.completion) for one in dataset.examples] == [
        ("1", "", "One."),
        ("2", "", "Two."),
        ("4", "", "3"),
    ]
    assert dataset.are_documents and dataset.choices is None
    save(dataset, tmp_path / "examples.jsonl")
    assert restore(tmp_path / "examples.jsonl") == dataset
    assert load(tmp_path / "examples.jsonl").examples == dataset.examples


def test_documents_come_as_examples_too() -> None:
    """Break seen to fail: an Example of a document taken for one without a prompt."""
    some = load([Example("1", "", "One."), Example("2", "", "Two.", group="g")])
    assert some.are_documents and [(one.id, one.completion, one.group) for one in some.examples] == [
        ("1", "One.", None), ("2", "Two.", "g")
    ]  # fmt: skip


def test_documents_and_examples_do_not_mix() -> None:
    assert "documents" in refusal([{"text": "One."}, {"text": "Two."}, {"text": "good", "label": "yes"}]).message


def test_one_file_has_one_format() -> None:
    assert "row 3" in str(refusal([*ROWS[:2], {"question": "q", "answer": "a"}]))
    turns = {"prompt": [{"role": "user", "content": "x"}], "completion": "y"}
    assert "of messages, and the rows before it are prompt/completion of text" in str(refusal([*ROWS, turns]))


# ---- cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"completion": None}, "the answer is null"),
        ({"completion": float("nan")}, "the answer is null"),
        ({"prompt": None}, "the prompt is null"),
        ({"completion": "  "}, "the answer is empty"),
        ({"prompt": "\n"}, "the prompt is empty"),
        ({"completion": ["a", "b"]}, "the answer is a list"),
        ({"completion": {"a": 1}}, "the answer is an object"),
        ({"completion": "\ud800"}, "surrogate"),
        ({"choices": ["x", "y"]}, "'c3' is none of the choices x, y"),
        ({"choices": ["c3"]}, "fewer than two choices"),
        ({"choices": ["c3", "y", "y "]}, "the choice 'y' stands twice"),
        ({"choices": "c3 or y"}, "choices is no list"),
        ({"id": [1]}, "the id is [1]"),
        ({"id": True}, "the id is True"),
        ({"id": "1"}, "the id '1' is taken by"),
        ({"prompt": [{"role": "robot", "content": "x"}]}, "message 1 of the prompt has the role 'robot'"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "ends with the assistant's turn"),
        ({"prompt": [{"role": "user", "content": None}]}, "message 1 of the prompt is null"),
        ({"completion": [{"role": "user", "content": "x"}]}, "not one assistant message"),
    ],
)
def test_a_bad_cell_is_refused_with_its_line_or_left_out(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", [*ROWS[:2], ROWS[2] | change, ROWS[3]])
    error = refusal(path)
    assert error.where == f"{path}:3"
    assert words in str(error)
    if "is taken by" not in words:
        data = load(path, skip_bad=True)
        assert [e.id for e in data.examples] == ["1", "2", "4"]
        assert any(notice.startswith("1 bad row left out, first") and words in notice for notice in data.notices)


def test_who_cannot_leave_bad_rows_out_is_not_told_to(tmp_path: Path) -> None:
    """Break seen to fail: predict and augment, which have no such flag, named it."""
    rows = [*ROWS, {"prompt": "p", "completion": ""}, {"prompt": "p"}]
    assert "--skip-bad" not in str(refusal(rows))
    assert "; fill it in; or leave bad rows out with --skip-bad" in str(refusal(rows, skip_bad=False))
    assert "--skip-bad" not in str(refusal([row | {"completion": None} for row in ROWS], skip_bad=False))


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([("user", "x")], "ends with the user's turn"),
        ([("assistant", "x")], "no user turn stands before"),
        ([("user", "x"), ("assistant", "y"), ("assistant", "z")], "no user turn stands before"),
        ([("user", "x"), ("system", "s"), ("assistant", "y")], "message 2 of the conversation is a system turn"),
        ([], "no list of messages"),
    ],
)
def test_a_bad_conversation_is_refused(turns: list[tuple[str, str]], words: str) -> None:
    messages = [{"role": role, "content": content} for role, content in turns]
    assert words in str(refusal([{"messages": messages}] * 3))


def test_numbers_and_truth_values_become_text() -> None:
    rows = [{"prompt": n, "completion": value} for n, value in enumerate([1, 2.5, True, "x"])]
    data = load(rows)
    assert pairs(data) == [("0", "1"), ("1", "2.5"), ("2", "true"), ("3", "x")]
    assert "numbers and truth values were written as text: 7 rows, first row 1" in data.notices


def test_white_space_around_answers_is_trimmed_and_prompts_are_left_alone() -> None:
    data = load([{"prompt": f" p{n} ", "completion": f" c{n}\n" if n else "c"} for n in range(3)])
    assert pairs(data) == [(" p0 ", "c"), (" p1 ", "c1"), (" p2 ", "c2")]
    assert data.notices == ("white space around answers was trimmed: 2 rows, first row 2",)


def test_exact_duplicates_are_dropped_and_ids_do_not_move() -> None:
    rows = [ROWS[0], ROWS[0], *ROWS[1:]]
    data = load(rows)
    assert [e.id for e in data.examples] == ["1", "3", "4", "5"]
    assert data.notices == ("exact duplicates were dropped: 1 row, first row 2",)
    assert len(load(rows, keep_duplicates=True)) == 5
    assert len(load([row | {"group": n} for n, row in enumerate(rows)])) == 5  # another group: another row


def test_a_prompt_with_two_answers_is_noticed() -> None:
    data = load([*ROWS, {"prompt": "p1", "completion": "else"}])
    assert data.notices == ("a prompt stands there again with another answer: 1 row, first row 5",)


def test_fewer_than_three_are_refused() -> None:
    assert "2 usable examples; at least 3" in str(refusal(ROWS[:2]))
    assert "the first: row 1: the answer is null" in str(
        refusal([row | {"completion": None} for row in ROWS], skip_bad=True)
    )


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "x", "completion": }', "not JSON: Expecting value at column 31"),
        ("[1, 2]", "a row must be an object, and this is [1, 2]"),
        ('{"prompt": "a", "prompt": "b", "completion": "c"}', "'prompt' stands in it twice"),
        ("[" * 100_000, "not JSON"),
        ('{"prompt": "x", "completion": ' + "9" * 5000 + "}", "not JSON"),
        (b'{"prompt": "caf\xe9", "completion": "x"}', "byte 0xe9 is not UTF-8"),
    ],
)
def test_a_broken_line_is_named_or_left_out(tmp_path: Path, line: str | bytes, words: str) -> None:
    """Break seen to fail: numbering lines from 0."""
    good = [json.dumps(row).encode() for row in ROWS]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([*good[:2], line if isinstance(line, bytes) else line.encode(), *good[2:]]))
    error = refusal(path)
    assert error.where == f"{path}:3"
    assert words in str(error)
    assert [e.id for e in load(path, skip_bad=True).examples] == ["1", "2", "4", "5"]


def test_a_line_separator_inside_a_string_ends_no_line(tmp_path: Path) -> None:
    """Break seen to fail: splitlines() for split on the line feed."""
    rows = [{"prompt": f"a\u2028b\x85{n}", "completion": f"c{n}"} for n in range(3)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert load(path).examples[0].prompt == "a\u2028b\x850"


def test_an_item_of_an_array_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*ROWS, {"prompt": "x", "completion": None}], indent=2))
    assert refusal(path).where == f"{path}:18 (item 5)"
    assert path.read_text().split("\n")[17].strip() == "{"
    path.write_text('[\n{"prompt": "x"\n]')
    assert refusal(path).where == f"{path}:3"
    path.write_text('{"rows": []}')
    assert "no array of rows" in str(refusal(path))


def test_csv_rows_know_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\n"two\nlines",a\n\nb,c\nd,e,f\n"x","y ""quoted"", z"\n')
    error = refusal(path)
    assert (error.where, error.message) == (f"{path}:6", "3 cells where the header has 2: d,e,f")
    assert [(e.id, e.prompt, e.completion) for e in load(path, skip_bad=True).examples] == [
        ("1", "two\nlines", "a"),
        ("2", "b", "c"),
        ("4", "x", 'y "quoted", z'),
    ]


@pytest.mark.parametrize(
    ("middle", "read", "plainly"),
    [
        (['"Never again\tneg', 'so he said"\tpos'], [('"Never again', "neg"), ('so he said"', "pos")], True),
        (['"Great" they said\tpos'], [('"Great" they said', "pos")], True),
        (['5" nails\tpos', '"6\tneg'], [('5" nails', "pos"), ('"6', "neg")], True),
        (['"two\nlines"\tpos', '"a\tb"\tneg'], [("two\nlines", "pos"), ("a\tb", "neg")], False),
        (['"say ""hi"" now"\tpos'], [('say "hi" now', "pos")], False),
    ],
)
def test_quote_marks_of_a_tsv_lose_no_rows(
    middle: list[str], read: list[tuple[str, str]], plainly: bool, tmp_path: Path
) -> None:
    """Break seen to fail: quoting alone, which makes one row of the first two, and refuses the next files."""
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(["text\tlabel", "fine\tpos", "bad\tneg", *middle, "so so\tneg"]))
    data = load(path)
    assert pairs(data) == [("fine", "pos"), ("bad", "neg"), *read, ("so so", "neg")]
    assert any("quote marks are read as text" in notice for notice in data.notices) == plainly


def test_a_tsv_that_quotes_its_header_quotes(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('"text"\t"label"\n"fine"\t"pos"\n"bad\tneg\n')
    assert "not readable" in str(refusal(path))


def test_columns_without_name_and_content_are_dropped(tmp_path: Path) -> None:
    """As spreadsheets write them. Break seen to fail: a column without a name stands twice."""
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion,,\n" + "".join(f"p{n},c{n},,\n" for n in range(1, 4)) + "p4,c4\n,,,\n")
    data = load(path)
    assert (pairs(data), data.notices) == ([(f"p{n}", f"c{n}") for n in range(1, 5)], ())
    path.write_text("prompt,completion,,\n" + "".join(f"p{n},c{n},x,\n" for n in range(1, 4)))
    assert load(path).notices == ("columns that are not used: one without a name",)
    path.write_text("prompt,completion,,\n" + "".join(f"p{n},c{n},x,y\n" for n in range(1, 4)))
    assert "a column without a name stands twice" in str(refusal(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b",,\n", "0 usable examples"),
        (b"\xef\xbb\xbf \n", "the file is empty"),
        ("prompt,completion\na,b\n".encode("utf-16"), "UTF-16"),
        (b"prompt,completion\na,b\nc,\xff\n", ":3: byte 0xff is not UTF-8"),
        (b"prompt,prompt,completion\n1,2,3\n", "a column 'prompt' stands twice"),
        (b'prompt,completion\na,b\nc,"d\n', ":3: not readable"),
        (b"prompt,completion\na,b\n", "1 usable example"),
        (b"prompt,completion\n", "0 usable examples"),
        (b"I like it,good\nI do not,bad\nc,d\ne,f\n", "the columns are: I like it, good"),
    ],
)
def test_a_bad_csv_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert words in str(refusal(path))


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion\n" + "".join(f"{'x' * 200_000}{n},y{n}\n" for n in range(3)))
    assert len(load(path)) == 3


def test_files_that_are_not_there_or_not_known(tmp_path: Path) -> None:
    jsonl(tmp_path / "reviews.jsonl", ROWS)
    assert "did you mean" in str(refusal(tmp_path / "review.jsonl"))
    assert "no such file" in str(refusal("nowhere/at/all.jsonl"))
    assert "or the rows as a list" in str(refusal("text,label\n" + "a phrase,good\n" * 100))
    assert "folder" in str(refusal(tmp_path))
    (tmp_path / "a.xlsx").write_bytes(b"x")
    assert "cannot read files of the kind .xlsx" in str(refusal(tmp_path / "a.xlsx"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"train": [], "test": []}, "one dict with the keys train, test"),
        (7, "cannot read examples from int"),
        (["a", "b", "c"], "a row of type str"),
        ([("a", "b", "c")] * 3, "a row of type tuple"),
    ],
)
def test_what_python_gives_is_checked_too(source: Any, words: str) -> None:
    assert words in str(refusal(source))


# ---- BIG-Bench Hard --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not BBH.is_dir(), reason="the BIG-Bench Hard files are not beside the repository")
def test_big_bench_hard_is_read_whole() -> None:
    choices = {}
    for path in sorted(BBH.glob("*.json")):
        data = load(path)
        repeated = 2 if path.stem == "sports_understanding" else 0
        assert len(data) == 250 - repeated, path.stem
        raw = json.loads(path.read_text())["examples"]
        assert all(e.completion == raw[int(e.id) - 1]["target"].strip() for e in data.examples)
        choices[path.stem] = len(data.choices or ())
    assert choices["boolean_expressions"] == choices["navigate"] == choices["hyperbaton"] == 2
    assert choices["dyck_languages"] == choices["object_counting"] == choices["word_sorting"] == 0
    assert choices["ruin_names"] == 6  # four letters, and two items whose target is text
