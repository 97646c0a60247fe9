"""The report: what it shows, and that nothing in it comes from outside or runs."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_made import HOSTILE, LANES, Parsed, by_skill, made_run, many_lanes, rewrite, two_classes

import fewfit
from fewfit.cli.main import run as command
from fewfit.errors import UserError
from fewfit.examples import Example
from fewfit.examples.example import Message
from fewfit.grid import Lane
from fewfit.predictions import read
from fewfit.report.confusion import counted
from fewfit.report.evidence import Evidence
from fewfit.report.figure import ticks
from fewfit.report.markup import SIGNS, data, escaped, middle_cut, tag
from fewfit.report.race import POINTS, running_means, thinned
from fewfit.report.writing import report, write_report
from fewfit.run import folders
from tests.tokenizers_made import byte_level

SAFE_ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "id", "class", "aria-label", "aria-labelledby", "aria-hidden",
    "role", "tabindex", "scope", "dir", "type", "value", "title", "data-v", "data-right", "viewbox", "points", "x", "y",
    "x1", "x2", "y1", "y2", "cx", "cy", "r", "text-anchor",
}  # fmt: skip


def page_of(folder: Path, **more: object) -> str:
    return report(Evidence.of(folder, tokenizers={None: byte_level()}, **more))


def check_safe(page: str) -> Parsed:
    """Nothing is loaded, nothing runs but our own script, and the policy says so."""
    parsed = Parsed(page)
    names = Counter(name for name, _ in parsed.elements)
    assert names["script"] == names["style"] == 1
    assert not names.keys() & {"img", "iframe", "link", "a", "object", "embed", "form", "base", "image", "use", "video"}
    assert not parsed.comments
    strange = {key for _, there in parsed.elements for key in there} - SAFE_ATTRIBUTES
    assert not strange, strange  # no src, href, style, on… among them
    policy = next(
        there["content"] for _, there in parsed.elements if there.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind in ("script", "style"):
        text = "".join(parsed.texts[kind])
        assert rules[f"{kind}-src"] == f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
    style = "".join(parsed.texts["style"])
    assert "url(" not in style and "@import" not in style
    script = "".join(parsed.texts["script"])
    assert not re.search(r"\beval\b|Function\(|innerHTML|fetch\(|XMLHttpRequest|import\(", script)
    return parsed


# ---- nothing gets out of the text ------------------------------------------------------------------------------------


@given(st.text())
def test_text_stays_text(text: str) -> None:
    """Whatever it is, a parser finds no element in it and gives it back, but for what no page could hold.

    Break seen to fail: `escape` left out of `plain`."""
    found: list[str] = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_starttag = lambda name, attrs: found.append(f"<{name}>")  # type: ignore[method-assign]
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.handle_comment = lambda data: found.append(f"comment {data}")  # type: ignore[method-assign]
    parser.feed(f"<p>{escaped(text)}")
    parser.close()
    assert "".join(found) == "<p>" + text.translate(SIGNS)
    attribute = Parsed(tag("p", title=text)).elements[0][1]
    assert attribute == {"title": text.translate(SIGNS)}


def test_hostile_texts_are_shown_and_do_nothing(tmp_path: Path) -> None:
    """As prompts, answers, labels, ids, in turns, in the notices and in the name of the data.

    Break seen to fail: `Markup(value)` for `data(…)` in a class's name."""
    examples = [
        Example(f"{k} {text[:60]}", (Message("user", text),) if k % 2 else f"{k} {text}", HOSTILE[k % 2], group=text)
        for k, text in enumerate(clean(HOSTILE) * 5)
    ]

    def answer(lane: Lane, example: Example, i: int) -> str:
        return clean(HOSTILE)[i % len(HOSTILE)] if i % 3 else example.completion

    folder = made_run(
        tmp_path / "run", examples, answer=answer, choices=HOSTILE[:2], notices=clean(HOSTILE), source=HOSTILE[0]
    )
    page = page_of(folder)
    parsed = check_safe(page)
    for text in clean(HOSTILE):
        if len(text) < 1000:
            assert text.translate(SIGNS) in parsed.text
    assert "\u202e" not in page and "\x00" not in page
    page.encode()  # no half of a pair is left
    assert "characters left out" in parsed.text
    assert len(page) < 2_000_000


def clean(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Without half a pair, which no file of ours holds."""
    return tuple(text.replace("\ud800", "") for text in texts)


def test_a_half_pair_and_a_turn_of_direction_are_shown_as_signs() -> None:
    """Break seen to fail: SIGNS without the halves of pairs."""
    assert str(data("a\ud800b\u202ec\x07")) == '<bdi class="data" dir="auto">a\\ud800b\\u202ec␇</bdi>'
    str(data("\ud800")).encode()


# ---- runs of every kind ----------------------------------------------------------------------------------------------


def test_a_page_says_what_the_result_says(tmp_path: Path) -> None:
    """Break seen to fail: another score in large; no `default-src` in the policy."""
    folder = made_run(tmp_path / "run", two_classes(60), statuses={LANES[2].name: "dropped"})
    result, parsed = folders.result(folder), check_safe(page_of(folder))
    assert result["verdict"] in parsed.text
    assert f"{100 * result['score']:.1f}" in parsed.texts["div"]  # in large
    sections = {there["id"] for name, there in parsed.elements if name == "section" and "id" in there}
    assert sections >= {
        "race", "lanes", "shots", "rates", "differences", "classes", "more", "costs", "mistakes", "warnings", "repeat"
    }  # fmt: skip
    lines = parsed.of("polyline", class_="line")
    assert len(parsed.of("polyline", class_="best")) == 1
    assert len([one for one in lines if "left" in (one["class"] or "").split()]) == 1
    for lane in LANES:
        assert lane.name in parsed.text
    for each in result["comparisons"]:
        assert f"{each['this']} − {each['other']}" in parsed.text
    assert len([name for name, _ in parsed.elements if name == "summary"]) > 10  # mistakes, and the prompts in them


def test_one_lane(tmp_path: Path) -> None:
    """No race of many, no curve, no map, no difference: their sections are not there.

    Break seen to fail: `differences` without its first return."""
    folder = made_run(tmp_path / "run", two_classes(12), [Lane()])
    parsed = check_safe(page_of(folder))
    sections = {there.get("id") for name, there in parsed.elements if name == "section"}
    assert not sections & {"shots", "rates", "differences"} and {"race", "lanes", "mistakes"} <= sections
    assert len(parsed.of("polyline", class_="line")) == 1


def test_two_hundred_lanes(tmp_path: Path) -> None:
    """Small enough to open, and every lane in it. Break seen to fail: the last lane not in the table."""
    lanes = many_lanes(200)
    dropped = {lane.name: "dropped" for lane in lanes[20::3]}
    folder = made_run(tmp_path / "run", two_classes(60), lanes, statuses=dropped)
    page = page_of(folder)
    parsed = check_safe(page)
    assert len(page) < 1_000_000
    table = parsed.text[
        parsed.text.index("200 lanes, the best score first") : parsed.text.index("Examples in the prompt")
    ]
    assert all(lane.name in table for lane in lanes)
    assert len(parsed.of("table", class_="grid")) <= 12 + 4


def test_documents_have_no_race_and_no_prompts(tmp_path: Path) -> None:
    """Break seen to fail: `prompts` of a run on documents asked of the inspection."""
    lanes = [Lane(shots=3, deliver="fixed"), Lane(lr=1e-3, updates=2)]
    parsed = check_safe(page_of(made_run(tmp_path / "run", two_classes(20), lanes, documents=True)))
    sections = {there.get("id") for name, there in parsed.elements if name == "section"}
    assert "race" not in sections and "mistakes" in sections
    assert "20 questions" in parsed.text and "Prompts are left out" not in parsed.text


def test_free_text_has_no_classes(tmp_path: Path) -> None:
    """A generated metric: no labels, no probabilities; partial scores are shown.

    Break seen to fail: probabilities shown where there are none."""
    folder = made_run(tmp_path / "run", two_classes(20), choices=None, metric="token-f1")
    lines = (folder / folders.PREDICTIONS).read_text().splitlines()
    rows = [json.loads(line) | {"score": 0.25 if '"correct": false' in line else 1.0} for line in lines]
    (folder / folders.PREDICTIONS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    parsed = check_safe(page_of(folder))
    assert not any(there.get("id") == "classes" for _, there in parsed.elements)
    assert "0.25" in parsed.text and "its probability" not in parsed.text


def test_an_endpoint(tmp_path: Path) -> None:
    lanes = [Lane(), Lane(shots=2, deliver="per-query")]
    folder = made_run(tmp_path / "run", two_classes(20), lanes, base_url="http://127.0.0.1:9/v1")
    parsed = check_safe(report(Evidence.of(folder)))
    assert "http://127.0.0.1:9/v1" in parsed.text  # told, and no link
    assert parsed.of("mark")  # its prompts are rendered in bytes


def test_the_mask_is_the_one_that_was_trained_on(tmp_path: Path) -> None:
    """Marked is what carries loss: every answer with its end, and nothing else.

    Break seen to fail: the mask of the prompt's complement."""
    lanes = [Lane(shots=2, lr=1e-3, updates=1)]
    folder = made_run(tmp_path / "run", two_classes(12), lanes, answer=lambda lane, one, i: "warm")
    parsed = Parsed(page_of(folder))
    marks = parsed.texts["mark"]
    assert set(marks) == {"warm\n\n", "cold\n\n"} or set(marks) == {" warm\n\n", " cold\n\n"}
    wrong = [row for row in read(folder) if not row["correct"]]
    assert len(marks) == sum(1 + min(2, row["i"] - 1) for row in wrong)


def test_prompts_that_cannot_be_rendered_are_said_to_be_left_out(tmp_path: Path) -> None:
    """Break seen to fail: the error let through."""
    folder = made_run(tmp_path / "run", two_classes(12), [Lane(shots=2)])  # a fixed set, and no sets.json
    parsed = check_safe(page_of(folder))
    assert "Prompts are left out" in parsed.text and not parsed.of("mark")


def test_no_text_leaves_the_examples_out(tmp_path: Path) -> None:
    """Nor does the verdict tell the commonest answer, where it is no label.

    Breaks seen to fail: the verdict as it is; the browser of mistakes, or the commonest, with `with_text` False."""
    secret = [Example(f"id{k}", f"private prompt {k}", "private answer" if k % 3 else f"other {k}") for k in range(30)]
    many = ("private answer", *"abcdefghijklm")  # more than a table of all classes is made for
    for metric, choices in (("match", None), ("choice", ("private answer", "x")), ("contains", many)):
        folder = made_run(tmp_path / metric, secret, choices=choices, metric=metric, answer=lambda *_: "private x")
        whole, without = page_of(folder), page_of(folder, with_text=False)
        assert "private prompt" in whole and "private answer" in whole
        assert str(tmp_path) in whole and str(tmp_path) not in without
        assert "private prompt" not in without and "private x" not in without and "id7" not in without
        assert ("private answer" in without) == (choices is not None)  # labels are no examples
        check_safe(without)


def test_what_was_asked_and_remarked_on_holds_no_text_either(tmp_path: Path) -> None:
    """Break seen to fail: notices and the call as they are."""
    notice = "1 bad row left out, first row 7: the answer 'private reason' is none of the choices a, b"
    folder = made_run(tmp_path / "run", two_classes(20), notices=[notice])

    def asked(record: dict) -> None:
        for name, value in (("instruction", "private words"), ("test", "/home/somebody/test.csv")):
            record["asked"][name] = {"value": value, "source": "given"}
        record["no_text"] = True

    rewrite(folder, folders.RECORD, asked)
    whole, without = page_of(folder), page_of(folder, with_text=False)
    assert "private reason" in whole and "private words" in whole and "/home/somebody" in whole
    assert "private" not in without and "/home/somebody" not in without
    assert "1 bad row left out, first row 7" in without and "test.csv" in without


def test_a_run_without_text_keeps_to_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: `fewfit report` put back what `--no-text` had left out."""
    folder = made_run(tmp_path / "run", two_classes(20))
    monkeypatch.setattr(folders, "shows_text", lambda record: False)
    assert "the thing 7" not in write_report(folder).read_text(encoding="utf-8")


def test_an_answer_that_is_scored_as_right_is_no_other_text() -> None:
    """By `contains` or a pattern. Break seen to fail: the answer's text looked for among the labels."""
    rows = [{"gold": "warm", "prediction": "warm, as it was", "correct": True, "i": 1}]
    run = SimpleNamespace(lanes={"icl-4": {}}, rows={"icl-4": rows})
    assert counted(run, "icl-4") == {("warm", "warm"): 1}  # type: ignore[arg-type]


def test_the_classes_are_counted_as_the_score_is(tmp_path: Path) -> None:
    """A lane that trains: the last half alone. Of 20 rows, the first ten all wrong, then all right.

    Break seen to fail: `counted_from` not read."""
    lane = Lane(lr=1e-3, updates=1)

    def answer(lane: Lane, example: Example, i: int) -> str:
        return example.completion if i > 10 else "neither"

    folder = made_run(tmp_path / "run", two_classes(20), [lane], answer=answer)
    assert folders.result(folder)["lanes"][0]["counted_from"] == 11
    text = Parsed(page_of(folder)).text
    classes = text[text.index("Right and wrong by class") : text.index("What more examples")]
    assert "another text" not in classes and classes.count("100.0") == 4  # found, and right of those, for both


def test_a_result_of_before_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    """Break seen to fail: `result["comparisons"]`."""
    folder = made_run(tmp_path / "run", two_classes(20))
    new = ["kind", "leader", "n", "seeds", "criterion", "flat", "nothing_learnt", "rising", "best_of_kind"]

    def older(result: dict) -> None:
        for name in [*new, "comparisons"]:
            del result[name]
        for lane in result["lanes"]:
            for name in ("shots_at_use", "rising", "counted_from"):
                del lane[name]
        del result["break_even"]

    rewrite(folder, folders.RESULT, older)
    check_safe(page_of(folder))


# ---- parts -----------------------------------------------------------------------------------------------------------


def test_ticks_are_round_and_few() -> None:
    assert ticks(0, 1, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(1, 300, 8) == [50, 100, 150, 200, 250, 300]
    assert ticks(-0.3, 0.3, 8) == [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]
    for high in (0.013, 1.0, 7.3, 12_345.0):
        assert 2 <= len(ticks(0, high, 6)) <= 7


def test_a_line_is_thinned_but_for_its_ends() -> None:
    """Break seen to fail: every k-th point, the last left out."""
    line = running_means([(i, float(i % 2)) for i in range(1, 1001)])
    assert line[0] == (1, 1.0) and line[-1] == (1000, 0.5)
    few = thinned(line)
    assert len(few) == POINTS and few[0] == line[0] and few[-1] == line[-1]


def test_long_text_is_cut_in_the_middle() -> None:
    assert middle_cut("abc", 3) == "abc"
    assert middle_cut("a" * 50 + "b" * 50, 10) == "aaaaa … 90 characters left out … bbbbb"


# ---- commands --------------------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: `refuse_other` left out."""
    monkeypatch.chdir(tmp_path)
    made_run(Path("run"), two_classes(12), [Lane()])
    assert command(["report", "run", "--no-text"]) == 0
    assert capsys.readouterr().out == "run/report.html\n"
    check_safe(Path("run/report.html").read_text())
    assert command(["report", "run", "--json", "--no-text"]) == 0  # its own page may be written over
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "report": "run/report.html"}
    Path("mine.html").write_text("<p>mine")
    assert command(["report", "run", "--out", "mine.html"]) == 2
    assert Path("mine.html").read_text() == "<p>mine" and "no page of fewfit's" in capsys.readouterr().err
    assert command(["report", "run", "--out", "nowhere/x.html"]) == 2
    (Path("run") / folders.RESULT).unlink()
    assert command(["report", "run"]) == 2 and "not done" in capsys.readouterr().err


def test_runs_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, a line of JSON, a page; and what they allow to be said.

    Breaks seen to fail: `caution` by the metric alone; times without the seconds that they are sorted by."""
    monkeypatch.chdir(tmp_path)
    tests = [{"name": "ft-lr1e-3-u1", "kind": "ft", "n": 100, "score": 0.61, "interval": [0.5, 0.7]}]
    made_run(Path("one"), two_classes(30), source=HOSTILE[0])
    made_run(Path("two"), two_classes(30), [Lane(lr=1e-3, updates=1)], test=tests, source="again")
    made_run(Path("other"), two_classes(20), answer=lambda lane, one, i: by_skill(lane, one, i + 7))
    assert command(["compare", "one", "two", "--out", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "ft-lr1e-3-u1" in out and "61.0" in out and "All on the same examples" in out
    parsed = check_safe(Path("page.html").read_text())
    assert HOSTILE[0] in parsed.text and "61.0" in parsed.text
    assert len(parsed.of("circle", class_="test")) == 1
    keys = [cell["data-v"] for cell in parsed.of("td") if "data-v" in cell and "class" not in cell]
    assert [float(key or "nan") for key in keys[1::2]] == [12.0, 12.0], "ranges and times sort as numbers"
    assert command(["compare", "one", "other", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["n"] for one in told["runs"]] == [30, 20] and told["page"] is None
    assert command(["compare", "one", "other"]) == 0
    assert "Not all of these runs" in capsys.readouterr().out
    assert command(["compare", "one"]) == 2 and "two or more" in capsys.readouterr().err


def test_fit_leaves_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run whose page cannot be written is a run all the same.

    Break seen to fail: the report not written; the error let through."""
    monkeypatch.chdir(tmp_path)
    rows = [(one.prompt, one.completion) for one in two_classes(8)]
    done = fewfit.fit(rows, "lab", grid=[Lane(shots=1, lr=1e-3, updates=1)], out="run")
    parsed = check_safe((tmp_path / "run" / "report.html").read_text())
    assert done.verdict in parsed.text and parsed.of("mark")
    page = (tmp_path / "run" / "report.html").read_bytes()
    assert done.report("again.html").read_bytes() == page  # the tokenizer loaded anew

    assert "grid=[fewfit.Lane(shots=1, lr=0.001, updates=1)]" in parsed.text

    def refuse(*_: object, **__: object) -> None:
        raise UserError("no page today")

    monkeypatch.setattr("fewfit.api.write_report", refuse)
    assert fewfit.fit(rows, "lab", grid=[Lane()], out="second").best == "zero-shot"
