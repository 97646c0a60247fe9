"""The demo: its tasks are run one by one, and what they say together is what the unseen examples say."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from folders_made import model_folder

from fewfit.cli.main import run


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

    (tmp_path / "demo" / "data").mkdir(parents=True)
    for name, seed in (("first", 2), ("second", 3)):
        for part, n in (("", 6), ("-test", 5)):
            text = "".join(json.dumps({"text": t, "label": a}) + "\n" for t, a in rows_of(n, seed))
            (tmp_path / "demo" / "data" / f"{name}{part}.jsonl").write_text(text)
    monkeypatch.setattr(demo, "files", lambda package: tmp_path)
    monkeypatch.chdir(tmp_path)
    return ["first", "second"]


def test_the_demo_runs_each_task_and_says_what_they_say(
    tasks: list[str], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Break seen to fail: one task's result told twice."""
    from fewfit.cli.demo import sentence

    assert run(["demo", "--model", str(model), "--budget", "1s"]) == 0
    printed = capsys.readouterr()
    closing = printed.out.split("\n- ")
    assert [text.split(":")[0] for text in closing[1:]] == tasks
    assert "unseen examples" in closing[1] and "bear out" in closing[-1]
    assert printed.out.count("test score") == 2
    for name, said in zip(tasks, closing[1:], strict=True):
        (folder,) = Path("runs").glob(f"demo-{name}-*")
        assert sentence(json.loads((folder / "result.json").read_text())) in said


def test_the_package_brings_three_tasks() -> None:
    """Break seen to fail: the names of the files changed on one side."""
    from fewfit.cli.demo import bundled_tasks

    found = bundled_tasks()
    assert len(found) == 3
    assert all(train.is_file() and test.is_file() for _, train, test in found)


def test_the_demo_says_what_is_missing(
    tasks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewfit.models import bundled

    monkeypatch.setattr(bundled, "resolve", lambda name: None)
    assert run(["demo"]) == 2
    assert "bundled model 'lab'" in capsys.readouterr().err
    for file in (tmp_path / "demo" / "data").iterdir():
        file.unlink()
    assert run(["demo", "--json"]) == 2
    assert "no example files" in json.loads(capsys.readouterr().out)["error"]["message"]


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

    rows = [{"name": "a", "interval": best}, {"name": "b", "interval": other}]
    assert bears_out({"best": "a", "interval": interval, "test": rows}) is told
