"""Folders of tasks as they are found: bytes that are no UTF-8, names that two tasks have, labels that two share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import real
from fewfit.errors import UserError
from fewfit.suites.tasks import paper
from fewfit.suites.tasks.library import library
from fewfit.suites.tasks.suite import Asked


def pairs_file(path: Path, labels: tuple[str, str] = ("negative", "positive")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"input": f"text {n}", "output": labels[n % 2]} for n in range(40)]))
    return path


def tweets(folder: Path, words: tuple[str, ...] = ("negative", "neutral", "positive"), last: bytes = b"") -> Path:
    folder.mkdir(parents=True)
    (folder / "mapping.txt").write_text("".join(f"{n}\t{word}\n" for n, word in enumerate(words)))
    numbers = [n % len(words) for n in range(60)]
    (folder / "train_labels.txt").write_text("\n".join(map(str, numbers)))
    (folder / "train_text.txt").write_bytes("\n".join(f"tweet {n}" for n in range(60)).encode() + last)
    return folder


def lines_file(path: Path, odd: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(b"%d text %d%s\n" % (n % 2, n, odd if n == 3 else b"") for n in range(40)))
    return path


# ---- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "read"),
    [("é".encode(), "é"), (b"\xe9", "é"), (b"\x93so\x94", "\u201cso\u201d"), (b"\xe9\x81", "é\x81")],
    ids=["utf-8", "latin-1", "cp1252", "neither"],
)
def test_subj_is_read_as_it_was_published(odd: bytes, read: str, tmp_path: Path) -> None:
    """A line in another encoding does not change the others. Break seen to fail: UTF-8 alone."""
    path = lines_file(tmp_path / "subj.all", b" " + odd)
    path.write_bytes(path.read_bytes() + "1 a café\n".encode())
    prompts = [one.prompt for one in library(tmp_path).published("subj").examples]
    assert prompts[3] == f"text 3 {read}" and prompts[-1] == "a café"


def test_one_file_that_is_no_text_spoils_no_folder(tmp_path: Path) -> None:
    """It is left out by its file and line. Breaks seen to fail: texts of tweets, and what is looked at to tell BBH and
    pairs, read as they come."""
    tweets(tmp_path / "emotion", last=b"\xe9")
    pairs_file(tmp_path / "fine.json")
    (tmp_path / "pairs.json").write_bytes(b'[{"input": "\xe9", "output": "a"}]')
    (tmp_path / "bbh.json").write_bytes(b'{"canary": "\xe9", "examples": []}')
    raft = tmp_path / "claims"
    raft.mkdir()
    (raft / "task.json").write_text('{"label_columns": {"Label": ["a", "b"]}, "data_columns": ["Text"]}')
    (raft / "train.csv").write_bytes(b"Text,Label\nso,a\n\xe9,b\n")
    said: list[str] = []
    assert [one.name for one in library(tmp_path).tasks(tell=said.append)] == ["fine"]
    where = ("emotion/train_text.txt:60", "pairs.json:1", "bbh.json:1", "claims/train.csv:3")
    assert len(said) == len(where)
    for one in where:
        assert any(one in line and "byte 0xe9 is not UTF-8" in line for line in said), one


# ---- names -----------------------------------------------------------------------------------------------------------


def test_two_tasks_of_one_name_are_told_by_their_files(tmp_path: Path) -> None:
    """Break seen to fail: the folder alone named."""
    one, other = pairs_file(tmp_path / "a" / "same.json"), pairs_file(tmp_path / "b" / "same.json")
    pairs_file(tmp_path / "fine.json")
    said: list[str] = []
    assert [task.name for task in library(tmp_path).tasks(tell=said.append)] == ["fine"]
    assert len(said) == 1 and f"{one} and {other}: two tasks called same" in said[0]
    (twin,) = library(tmp_path / "a").tasks()
    with pytest.raises(UserError, match="two tasks called same"):
        Asked("m", (twin, twin))


def test_sentiment_of_tweets_is_another_task_than_that_of_function_vectors(tmp_path: Path) -> None:
    """Break seen to fail: both under the name of their file or folder."""
    pairs_file(tmp_path / "function_vectors" / "sentiment.json")
    tweets(tmp_path / "nlp" / "tweeteval" / "sentiment")
    tasks = {one.name: one for one in library(tmp_path, ("nlp", "function_vectors")).tasks()}
    labels = {name: len(one.asking.choices or ()) for name, one in tasks.items()}
    assert labels == {"tweet-sentiment": 3, "sentiment": 2}
    with pytest.raises(UserError, match="bbh: no folder"):
        library(tmp_path, ("bbh",))


# ---- labels that two sets share --------------------------------------------------------------------------------------


def test_sets_of_other_labels_are_crossed_over_those_they_share(tmp_path: Path) -> None:
    """Both ways, each beside the set itself with as many labels. Break seen to fail: neutral test examples kept."""
    lines_file(tmp_path / "stsa.binary.dev")
    tweets(tmp_path / "sentiment")
    known = library(tmp_path)
    with pytest.raises(UserError, match=r"name two tasks of equal labels, as tweet-sentiment-as-sst2 has"):
        known.task("sst2-to-tweet-sentiment", 10)
    own, there = (known.task(name, 10) for name in ("tweet-sentiment-as-sst2", "sst2-to-tweet-sentiment-as-sst2"))
    back = known.task("tweet-sentiment-as-sst2-to-sst2", 10)
    assert own.test == there.test and len(own.test) == 10 and back.test == known.task("sst2", 10).test
    for task in (own, there, back):
        assert task.asking.choices == ("negative", "positive")
        assert {one.completion for one in (*task.pool, *task.test)} == {"negative", "positive"}
    assert {one.prompt.split()[0] for one in there.pool} == {"text"} == {one.prompt.split()[0] for one in back.test}
    pairs_file(tmp_path / "other.json", ("negative", "so-so"))
    with pytest.raises(UserError, match="1 labels in both"):
        library(tmp_path).task("sst2-as-other", 10)


# ---- benchmarks.real -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_benchmark_of_real_models_runs_on_a_toy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the paper's held-out means beside ours. Breaks seen to fail: budgets of its own whatever is asked; the
    means left out."""
    data = tmp_path / "data"
    pairs_file(data / "function_vectors" / "sentiment.json")
    tweets(data / "nlp" / "hate", ("no", "yes"))
    (data / "bbh").mkdir()
    arguments = ["real", "--data", str(data), "--models", "lab", "--test", "4", "--seeds", "1", "--lr", "1e-3"]
    monkeypatch.setattr("sys.argv", [*arguments, "--budgets", "4", "--out", str(tmp_path / "out")])
    real.main()
    shown = capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert {(row["task"], row["n"]) for row in rows} == {("hate", 4), ("sentiment", 4)}
    assert len(rows) == 8 and all(row["accuracy"] is not None for row in rows)
    told = [line.split() for line in shown.splitlines()]
    (ours,) = [line for line in told if line[:3] == ["lab", "4", "1"] and len(line) == 6]
    by_kind = {row["kind"]: row["accuracy"] for row in rows if row["task"] == "hate"}
    assert ours[3:] == [f"{100 * by_kind[kind]:.0f}" for kind in ("ft", "icl", "icl+ft")]
    theirs = [" ".join(line[-3:]) for line in told if line[3:4] == ["theirs"]]
    assert theirs == ["77.7 74.9 84.3", "81.2 82.1 85.1", "82.6 82.5 86.4"]
    assert "not ours: arXiv 2512.19879, Table 2" in shown and "Table 1" not in shown
    monkeypatch.setattr("sys.argv", [*arguments, "--budgets", "all", "--plan"])
    real.main()
    assert "| lab | " in capsys.readouterr().out


def test_the_papers_means_are_of_its_tasks() -> None:
    assert [len(paper.tasks_of(mean)) for mean in paper.MEANS] == [23, 11]
    assert "word_sorting" in paper.tasks_of("bbh_mean") and "hate" in paper.tasks_of("nlp_mean")
