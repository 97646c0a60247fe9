"""The command line end to end on a tiny model: what is printed where, and with which exit code."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders_made import model_folder

from fewfit import api
from fewfit.cli import output
from fewfit.cli.main import run
from fewfit.errors import EnvironmentProblem, Interrupted, NoUsableLane, UserError

RESULT_KEYS = {
    "schema", "run", "best", "metric", "score", "interval", "prequential", "prequential_interval", "majority",
    "majority_answer", "verdict", "settled", "lanes", "test", "costs", "break_even", "labels", "seconds",
    "kind", "leader", "n", "seeds", "criterion", "flat", "nothing_learnt", "rising", "best_of_kind", "comparisons",
}  # fmt: skip
LANE_KEYS = {
    "name", "model", "kind", "shots", "lr", "updates", "n", "prequential", "score", "interval",
    "accuracy", "nll", "tokens", "status", "shots_at_use", "rising", "counted_from",
}  # fmt: skip
FEW = ("--methods", "zero-shot,icl,ft", "--shots", "2", "--lr", "1e-3", "--updates", "1", "--no-race")


def rows_of(n: int, seed: int) -> list[tuple[str, str]]:
    drawn = random.Random(seed)
    colours = [drawn.choice(("red", "blue")) for _ in range(n)]
    return [(f"the {c} thing {k}", "warm" if c == "red" else "cold") for k, c in enumerate(colours)]


def csv_of(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


class Place:
    """A folder to work in, with data, a model and one finished run."""

    def __init__(self, at: Path):
        self.at = at
        model_folder(at / "tiny")
        csv_of(at / "data.csv", rows_of(8, 0))
        csv_of(at / "test.csv", rows_of(6, 1))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("cli"))


@pytest.fixture(autouse=True)
def _here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.at)


@pytest.fixture(scope="module")
def fitted(place: Place) -> dict[str, Any]:
    """`fewfit fit --json` in a process of its own, as a user has it: its stdout, stderr and exit code."""
    done = fewfit(
        place, "fit", "data.csv", "--model", "tiny", "--test", "test.csv", *FEW, "--out", "runs/one", "--json"
    )
    assert done.returncode == 0, done.stderr
    return {"out": done.stdout, "err": done.stderr}


def fewfit(place: Place, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    code = "from fewfit.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=place.at,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        **{"capture_output": True, "timeout": 300, **settings},
    )


def strict(text: str) -> Any:
    """One line and no more, and nothing in it that is not JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert text.endswith("\n") and text.count("\n") == 1, text
    return json.loads(text, parse_constant=refuse)


# ---- fit -------------------------------------------------------------------------------------------------------------


def test_fit_prints_one_line_of_json(fitted: dict[str, Any]) -> None:
    """Break seen to fail: `warnings` left in the result; a `print` of the verdict beside it."""
    result = strict(fitted["out"])
    assert set(result) == RESULT_KEYS
    assert all(set(lane) == LANE_KEYS for lane in result["lanes"])
    assert [lane["kind"] for lane in result["lanes"]] == ["zero-shot", "icl", "ft"]
    assert {row["kind"] for row in result["test"]} == {"zero-shot", "icl", "ft"}
    assert result["run"] == "runs/one"


def test_progress_goes_to_stderr(fitted: dict[str, Any]) -> None:
    assert "8 examples on tiny" in fitted["err"]
    assert "\x1b" not in fitted["err"], "no colours off a terminal"


def test_fit_ends_with_all_that_one_would_want(fitted: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """`resume` of a run that is done tells its result again. Break seen to fail: the test table left out."""
    assert run(["resume", "runs/one"]) == 0
    shown = capsys.readouterr().out
    result = strict(fitted["out"])
    assert next(line for line in shown.splitlines() if line.startswith("▶")).split()[1:3] == [
        next(lane["kind"] for lane in result["lanes"] if lane["name"] == result["best"]),
        result["best"],
    ]
    for wanted in (result["verdict"], "majority", "test score", "runs/one", "as the lane would be delivered"):
        assert wanted in shown, wanted
    commands = [line.strip() for line in shown.splitlines() if line.startswith("  fewfit ")]
    assert len(commands) == 3
    assert all(command.split()[1] in ("predict", "inspect", "fit") for command in commands)


def test_quiet_says_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    done = ["fit", "data.csv", "--model", "tiny", "--methods", "zero-shot", "--out", "runs/quiet", "--quiet", "--json"]
    assert run(done) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert strict(printed.out)["best"] == "zero-shot"


@pytest.mark.parametrize(
    "command", [["fit", "data.csv"], ["plan", "data.csv"], ["inspect", "data.csv"]], ids=lambda c: c[0]
)
def test_without_a_model_it_names_two(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: a default of `lab`."""
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "--model lab" in said and "Qwen/" in said


# ---- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, code, word",
    [
        (UserError("bad", where="here", hint="do that"), 2, "user"),
        (EnvironmentProblem("no net", hint="wait"), 3, "environment"),
        (NoUsableLane("all diverged", hint="lower rates"), 4, "no-usable-lane"),
        (Interrupted("stopped", exit_code=143, hint="resume"), 143, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 3, "disk"),
        (MemoryError(), 3, "memory"),
        (RuntimeError("oops"), 1, "bug"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_errors_have_their_exit_codes_and_one_line(
    error: BaseException, code: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Break seen to fail: Interrupted caught as any other FewfitError, with exit code 1."""

    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(api, "fit", fails)
    assert run(["fit", "data.csv", "--model", "tiny", "--json"]) == code
    printed = capsys.readouterr()
    told = strict(printed.out)
    assert told["schema"] == 1
    assert set(told["error"]) == {"code", "message", "where", "mend"}
    assert told["error"]["code"] == word
    assert told["error"]["mend"]
    if code == 1:
        assert "Traceback" in printed.err
    else:
        assert printed.err.startswith("fewfit: ") and printed.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["fit"], ["fit", "a.csv", "--shotz", "3"], ["nonsense"], ["predict"]])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--json"]) == 2
    printed = capsys.readouterr()
    assert strict(printed.out)["error"]["code"] == "usage"
    assert printed.err.count("\n") == 1


def test_nan_is_a_bug_not_a_result() -> None:
    """Break seen to fail: `allow_nan` left as it is."""
    with pytest.raises(ValueError, match="JSON"):
        output.line({"score": float("nan")})


def test_a_line_is_one_for_every_reader(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: U+2028 in an answer printed as it is."""
    output.line({"prediction": "a\u2028b\x85"})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"prediction": "a\u2028b\x85"}


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(place: Place, fitted: dict[str, Any]) -> None:
    """`fewfit predict … | head -0`. Break seen to fail: BrokenPipeError not caught."""
    reader, writer = os.pipe()
    os.close(reader)
    done = fewfit(
        place, "predict", "runs/one", "--in", "test.csv", "--quiet", capture_output=False, stdout=writer,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    from fewfit import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"fewfit {__version__}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    shown = capsys.readouterr().out
    known = ("fit", "plan", "resume", "inspect", "predict", "report", "compare", "demo")
    assert [c for c in known if f"\n  {c} " not in shown] == []
    commands = shown.split("Commands:")[1].splitlines()
    assert [line for line in commands if line.endswith("...")] == [], "each line says all that it says"


# ---- predict ---------------------------------------------------------------------------------------------------------


def test_predict_answers_one_prompt(fitted: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "runs/one", "the red thing"]) == 0
    plain = capsys.readouterr().out
    assert plain.strip() in ("warm", "cold")
    assert run(["predict", "last", "the red thing", "--json"]) == 0
    row = strict(capsys.readouterr().out)
    assert set(row) == {"schema", "id", "prediction", "probs", "nll"}
    assert row["prediction"] == plain.strip()


def test_predict_keeps_the_order_of_a_file(
    fitted: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks, too. Breaks seen to fail: rows sorted by id; the last chunk dropped; the run's column asked for."""
    from fewfit.cli import predicting

    source, target = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts = [{"prompt": "the red thing", "id": "z"}, {"prompt": "the blue thing"}, {"prompt": "a"}, {"prompt": "b"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in prompts))
    monkeypatch.setattr(predicting, "AT_ONCE", 3)
    monkeypatch.setattr(predicting, "usual_input", lambda run: "review")
    assert run(["predict", "runs/one", "--in", str(source), "--out", str(target)]) == 0
    assert capsys.readouterr().out == ""
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["z", "2", "3", "4"]
    assert all(set(row) == {"id", "prediction", "probs", "nll"} for row in rows)
    assert run(["predict", "runs/one", "--in", str(source), "--json"]) == 0
    assert strict(capsys.readouterr().out)["rows"] == rows
    assert run(["predict", "runs/one", "--in", str(source), "--quiet"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows


def test_predictions_of_a_file_are_gone_on_with(
    fitted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks seen to fail: gone on with other prompts; with another bundle; what was there kept out of the file."""
    from fewfit.cli import predicting
    from fewfit.predict import Predictor

    source, target = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    predict = ["predict", "runs/one", "--in", str(source), "--out", str(target), "--quiet"]
    monkeypatch.setattr(predicting, "AT_ONCE", 2)
    real, asked = Predictor.predict, []

    def second_fails(self: Predictor, some: list[Any]) -> Any:
        asked.append(len(some))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(self, some)

    def stopped(*words: str) -> None:
        asked.clear()
        source.write_text("".join(json.dumps({"prompt": f"the {word} thing"}) + "\n" for word in words))
        assert run(predict) == 130 and not target.exists()

    monkeypatch.setattr(Predictor, "predict", second_fails)
    stopped("red", "blue", "green")
    assert run(predict) == 0 and asked == [2, 1, 1]
    gone_on = target.read_text()
    assert [json.loads(line)["id"] for line in gone_on.splitlines()] == ["1", "2", "3"]
    assert run(predict) == 0 and asked == [2, 1, 1, 2, 1] and target.read_text() == gone_on
    assert not [path.name for path in tmp_path.iterdir() if "so-far" in path.name]
    target.unlink()
    stopped("red", "blue", "green")
    asked.append(0)
    source.write_text(source.read_text().replace("red", "pink"))
    assert run(predict) == 0 and asked == [2, 1, 0, 2, 1]
    target.unlink()
    stopped("red", "blue", "green")
    asked.append(0)
    monkeypatch.setattr(predicting, "identity", lambda folder: [])
    assert run(predict) == 0 and asked == [2, 1, 0, 2, 1]


@pytest.mark.parametrize(
    "name, content, more",
    [
        ("a.csv", "text,label\nthe red thing,\n", ()),
        ("b.csv", "text\nthe red thing\n", ()),
        ("c.csv", "what,else\nthe red thing,x\n", ("what",)),
        ("f.csv", "prompt,what\nx,the red thing\n", (None, "what")),
        ("d.jsonl", '{"messages": [{"role": "user", "content": "the red thing"}]}\n', ()),
        (
            "e.jsonl",
            '{"messages": [{"role": "user", "content": "the red thing"}, {"role": "assistant", "content": "x"}]}\n',
            (),
        ),
    ],
)
def test_prompts_need_no_answers(name: str, content: str, more: tuple[str | None, ...], tmp_path: Path) -> None:
    """Break seen to fail: shapes.find, which wants an answer's column too."""
    from fewfit.cli.predicting import prompts

    (tmp_path / name).write_text(content)
    ((example, _),) = prompts(str(tmp_path / name), *(more or (None,)))
    text = example.prompt if isinstance(example.prompt, str) else example.prompt[-1].content
    assert text == "the red thing"
    assert example.completion == ""


def test_one_that_is_too_long_is_named_before_any_is_answered(
    fitted: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.csv").write_text("text\nthe red thing\n" + "so " * 5000 + "\n")
    monkeypatch.setattr("fewfit.predict.Predictor.predict", lambda *_, **__: pytest.fail("one was asked"))
    assert run(["predict", "runs/one", "--in", str(tmp_path / "in.csv")]) == 2
    said = capsys.readouterr().err
    assert "in.csv:3: does not fit" in said and "shorten it" in said and "--max-length" not in said


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["predict", "runs/one"], "no prompt"),
        (["predict", "runs/one", "a", "--in", "test.csv"], "a prompt and --in"),
        (["predict", "runs/one", "a", "--out", "x.jsonl"], "--out goes with --in"),
        (["predict", "runs/one", "  "], "empty"),
        (["predict", "runs/one", "--in", "test.csv", "--out", "test.csv"], "one file"),
        (["predict", "runs/one", "--in", "test.csv", "--out", "no/such/x.jsonl"], "folder is not there"),
        (["predict", "runs/one", "--in", "test.csv", "--input", "txt"], "txt"),
        (["predict", "runs/none", "a"], "runs/none"),
        (["resume", "runs/none"], "runs/none"),
        (["inspect", "runs/one", "--lane", "icl-3"], "icl-3"),
        (["inspect", "runs/one", "--at", "9"], "1 to 8"),
        (["inspect", "runs/one", "--shots", "2"], "--shots"),
        (["inspect", "runs/one", "--model", "tiny"], "--model belongs to a data file"),
        (["inspect", "runs/one", "--no-instruction"], "--no-instruction belongs to a data file"),
        (["predict", "runs/one", "\udcff"], "half a surrogate"),
        (["predict", "runs/one", "--in", "test.csv", "--out", "runs"], "no file"),
        (["inspect", "runs/one", "--seed", "4"], "--seed 4"),
        (["inspect", "data.csv", "--model", "tiny", "--lane", "icl-2"], "--lane"),
        (["inspect", "data.csv", "--model", "tiny", "--at", "0"], "1 to 8"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], words: str, fitted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


# ---- inspect ---------------------------------------------------------------------------------------------------------


def test_inspect_shows_what_a_lane_saw(fitted: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The tokens are those of the row that was written down. Break seen to fail: `--at` counted from 0."""
    from fewfit.predictions import read

    row = next(r for r in read("runs/one") if r["lane"] == "icl-2" and r["i"] == 6)
    assert run(["inspect", "runs/one", "--lane", "icl-2", "--at", "6", "--json"]) == 0
    seen = strict(capsys.readouterr().out)
    assert set(seen) == {"tokens", "loss", "text"}
    assert len(seen["tokens"]) == len(seen["loss"]) == row["prompt_tokens"] + row["tokens"]
    assert sum(seen["loss"]) == 0, "a lane that does not train has no loss"
    assert run(["inspect", "runs/one", "--lane", "ft-lr1e-3-u1", "--at", "6", "--update", "1", "--json"]) == 0
    seen = strict(capsys.readouterr().out)
    assert sum(seen["loss"]) == row["tokens"]


def test_inspect_asks_for_the_model_that_the_run_had(fitted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: the tokenizer of what a branch is by now."""
    from fewfit.models import local

    asked: dict[str, Any] = {}
    loading = local.load_config_and_tokenizer
    monkeypatch.setattr(local, "load_config_and_tokenizer", lambda *a, **b: asked.update(b) or loading(*a, **b))
    assert run(["inspect", "runs/one", "--lane", "icl-2", "--json"]) == 0
    assert asked["digest"] == json.loads(Path("runs/one/run.json").read_text())["models"][0]["digest"]


def test_inspect_marks_the_answers_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: the mask of the last answer alone."""
    assert run(["inspect", "data.csv", "--model", "tiny", "--shots", "3"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("⟦") == 4
    assert run(["inspect", "data.csv", "--model", "tiny", "--shots", "3", "--loss", "last-answer"]) == 0
    assert capsys.readouterr().out.count("⟦") == 1


# ---- the rest --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stopped_run_goes_on(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGINT gives 130 and names the command that goes on; what it gives is what a run never stopped gives."""
    import signal
    import time

    lanes = ("--methods", "ft", "--lr", "1e-3", "--updates", "30", "--no-race")
    code = "from fewfit.cli.main import main; main()"
    command = [sys.executable, "-c", code, "fit", "data.csv", "--model", "tiny", *lanes, "--out", "runs/stopped"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, cwd=place.at, env=env, text=True, stderr=subprocess.PIPE)
    shards = place.at / "runs" / "stopped" / "lanes"
    for _ in range(1200):
        if list(shards.glob("**/predictions*")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "fewfit resume runs/stopped" in said.splitlines()[-1]
    assert run(["resume", "runs/stopped", "--json", "--quiet"]) == 0
    strict(capsys.readouterr().out)
    assert run(["fit", "data.csv", "--model", "tiny", *lanes, "--out", "runs/whole", "--json", "--quiet"]) == 0
    kept = [Path("runs", name, "predictions.jsonl").read_bytes() for name in ("stopped", "whole")]
    assert kept[0] == kept[1]


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "fewfit", "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("fewfit ")
