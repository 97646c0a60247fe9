"""`select-demos --judge rules`: conversations searched for by what a program says of the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewfit.cli.main import run as command
from fewfit.prompts import Conversation, Turn, ours
from fewfit.search.instructions import Prompted
from fewfit.writing import Decoding, Written

POOL = [{"prompt": f"Tell me of river {n}.", "completion": f"river {n} is wide."} for n in range(8)]
CHECKS = ("punctuation:no_comma", "change_case:english_lowercase")
ASKED = [
    {"key": n, "prompt": f"Write of mill {n}.", "instruction_id_list": [CHECKS[n % 2]], "kwargs": [{}]}
    for n in range(12)
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.slow
def test_a_search_by_rules_tells_what_held_out_questions_say_and_asks_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["select-demos", write(tmp_path / "pool.jsonl", POOL), "--model", "lab", "--judge", "rules", "--k", "1"]
    line += ["--questions", write(tmp_path / "asked.jsonl", ASKED), "--pool", "4", "--max-new-tokens", "6"]
    line += ["--strategy", "greedy", "--out", str(tmp_path / "out"), "--json"]
    assert command(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pool"] == 4 and told["questions"] == 6 and told["calls"] == 24
    assert told["held_out"]["n"] == 6 and len(told["demonstrations"]) == 1
    (found,) = (tmp_path / "out" / "demonstrations.jsonl").read_text().splitlines()
    assert json.loads(found)["prompt"] in [row["prompt"] for row in POOL]
    monkeypatch.setattr("fewfit.search.instructions.talk", lambda *a: pytest.fail("asked again"))
    assert command(line) == 0
    assert json.loads(capsys.readouterr().out)["demonstrations"] == told["demonstrations"]


@pytest.mark.slow
def test_so_many_questions_are_taken_of_those_that_short_answers_can_keep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what it will cost is said beforehand. Break seen to fail: questions of long answers asked."""
    long = [
        {**row, "key": f"long {row['key']}", "prompt": f"At length: {row['prompt']}",
         "instruction_id_list": ["length_constraints:number_words"],
         "kwargs": [{"relation": "at least", "num_words": 300}]} for row in ASKED
    ]  # fmt: skip
    line = ["select-demos", write(tmp_path / "pool.jsonl", POOL), "--model", "lab", "--judge", "rules", "--k", "1"]
    line += ["--questions", write(tmp_path / "asked.jsonl", [*long, *ASKED]), "--pool", "3", "--max-new-tokens", "6"]
    assert command([*line, "--number", "8", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "12 of 24 questions want longer answers than 6 tokens" in told.err
    assert "3 candidates by 4 questions: about 3 answers" in told.err and "28 to tell" in told.err
    assert told.err.count(" answers judged, held out: 1 of 1 found") == 7
    asked = json.loads((tmp_path / "out" / "found.json").read_text())["searched_on"]
    assert len(asked) == 4 and not any(one.startswith("At length") for one in asked)


def test_questions_are_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["select-demos", write(tmp_path / "pool.jsonl", POOL), "--model", "lab", "--judge", "rules"]
    assert command(line) == 2 and "--questions" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [["--chat", "off"], ["--instruction", "x"], ["--strategy", "screen"], ["--repeats", "2", "--strategy", "greedy"]],
)
def test_what_it_has_no_use_for_is_refused(more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: flags of prompts passed over."""
    line = ["select-demos", write(tmp_path / "pool.jsonl", POOL), "--model", "lab", "--judge", "rules"]
    assert command([*line, "--questions", write(tmp_path / "asked.jsonl", ASKED), *more]) == 2
    assert more[0] in capsys.readouterr().err


def test_other_questions_under_the_same_keys_are_asked_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["select-demos", write(tmp_path / "pool.jsonl", POOL), "--model", "lab", "--judge", "rules", "--k", "1"]
    line += ["--pool", "3", "--max-new-tokens", "4", "--strategy", "greedy", "--out", str(tmp_path / "out"), "--json"]
    line += ["--questions", str(tmp_path / "asked.jsonl")]
    write(tmp_path / "asked.jsonl", ASKED)
    assert command(line) == 0
    capsys.readouterr()
    write(
        tmp_path / "asked.jsonl", [{**row, "instruction_id_list": ["detectable_format:json_format"]} for row in ASKED]
    )
    assert command(line) == 2
    assert "another questions" in capsys.readouterr().out


def test_what_is_added_stands_between_the_rules_and_the_examples_of_the_file() -> None:
    """Break seen to fail: the candidates behind the file's own examples."""

    class Told:
        limit = None
        texts: list[str] = []

        def count(self, text: Any) -> int:
            return 1

        def write(self, asked: Any, keys: Any, decoding: Any) -> list[Written]:
            self.texts += [one.text for one in asked]
            return [Written("yes", True, 1, 1) for _ in asked]

        def stream(self, asked: Any, keys: Any, decoding: Any) -> Any:
            return enumerate(self.write(asked, keys, decoding))

        def affirm(self, asked: Any) -> Any:
            raise AssertionError

    from fewfit.judges import Question

    writer = Told()
    one = Conversation("c", (Turn("Who is candidate?", "The candidate."),))
    prompted = Prompted(writer, ours(), {"c": one}, Decoding(4))
    assert prompted.answer(("c",), [Question("q", ("First?", "Second?"))]) == [["yes"]]
    (text,) = writer.texts
    places = [
        text.index(part) for part in (ours().rules.strip()[:20], "candidate?", ours().demonstrations[0].turns[0].query)
    ]
    assert places == sorted(places) and "First?" in text and "Second?" not in text


def test_a_judge_by_likelihood_is_not_asked_repeatedly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says the same each time. Break seen to fail: repeats of whatever can be asked again."""
    asked = [{"question_id": n, "category": "writing", "turns": [f"Write of mill {n}."]} for n in range(4)]
    line = ["select-demos", write(tmp_path / "pool.jsonl", POOL), "--model", "lab", "--judge", "mt-bench"]
    line += ["--judge-model", "lab", "--questions", write(tmp_path / "question.jsonl", asked)]
    assert command([*line, "--strategy", "greedy", "--repeats", "2"]) == 2
    assert "says the same every time" in capsys.readouterr().err
