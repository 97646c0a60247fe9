"""Inputs that are broken, hostile or absurd: each gets one line that says what, where and what to do, and soon.

Break seen to fail, for each group: the mend taken away (a check removed, an exception no longer caught).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attacks_made import CONFIGS, COSTLY, ENDLESS, HALF, ROWS, WRITTEN
from folders_made import byte_tokenizer, model_folder

from fewfit import metrics
from fewfit.cli import output
from fewfit.cli.main import run
from fewfit.errors import UserError
from fewfit.files import one_line
from fewfit.grid import Grid, Lane
from fewfit.metrics import match
from fewfit.render import limits
from fewfit.settings import LONGEST_BUDGET
from fewfit.settings import seconds as budget_of

SECONDS = 20  # for one case, on a slow machine; nearly all take less than one
LONG = "n" * 5000
FEW = ("--methods", "zero-shot", "--no-race")
posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and alarms as POSIX has them")


class OutOfPatience(BaseException):
    """Not an Exception: what a template or a config raises is told as its fault."""


def lines(path: str, rows: list[dict[str, Any]]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("attack")
    model_folder(at / "tiny")
    lines(str(at / "data.jsonl"), ROWS)
    return at


@pytest.fixture(autouse=True)
def _here(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise OutOfPatience(f"more than {SECONDS} seconds")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The message, after a look at all that a refusal promises."""
    got = run([*arguments, "--json"])
    shown = capsys.readouterr()
    assert got == code, shown.err
    assert "Traceback" not in shown.err
    assert shown.out.count("\n") == 1
    error = json.loads(shown.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["error"]
    assert error["message"] and error["mend"]
    last = shown.err.rstrip("\n").split("\n")[-1]
    assert last.startswith("fewfit: ")
    assert all(character.isprintable() for character in last)
    return last


def plan(capsys: pytest.CaptureFixture[str], *arguments: str, data: str = "data.jsonl", code: int = 2) -> str:
    return refused(capsys, "plan", data, "--model", "tiny", *arguments, code=code)


# ---- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITTEN)
def test_data_that_cannot_be_used(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = WRITTEN[name]
    good = "".join("\n" + json.dumps({**row, "id": f"good {k}"}) for k, row in enumerate(ROWS))
    Path("bad.jsonl").write_bytes(content if isinstance(content, bytes) else (content + good * bool(content)).encode())
    message = plan(capsys, data="bad.jsonl")
    assert "bad.jsonl" in message and "usable" not in message


@pytest.mark.parametrize(
    "content", ["," * 200_000 + "\n,", 'text,label\n"a,b', "\x1c", "text,text\na,b", "a" * 10_000_000]
)
def test_tables_that_cannot_be_used(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.csv").write_text(content)
    assert "bad.csv" in plan(capsys, data="bad.csv")


@posix
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("kind", ["pipe", "/dev/null", "folder"])
def test_what_is_no_file_is_not_read(
    kind: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"x.{ending}"
    make: dict[str, Callable[[], None]] = {"pipe": lambda: os.mkfifo(path), "folder": path.mkdir}
    make.get(kind, lambda: path.symlink_to(kind))()
    said = "a folder" if kind == "folder" else "a pipe, a socket or a device"
    assert said in plan(capsys, data=str(path))
    assert said in plan(capsys, "--test", str(path))
    plan(capsys, "--choices", f"@{path}")


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [LONG, "/".join(["n" * 200] * 40), "a\0b", "a\udc80b"], ids=["long", "deep", "NUL", "bytes"]
)
def test_names_that_are_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan(capsys, data=f"{name}.jsonl")
    plan(capsys, "--test", f"{name}.jsonl")
    plan(capsys, "--choices", f"@{name}")
    refused(capsys, "plan", "data.jsonl", "--model", name)
    for command in (("resume",), ("predict",), ("inspect",)):
        refused(capsys, *command, name, *(["a prompt"] if command == ("predict",) else []))


@pytest.mark.parametrize(
    "name", [LONG, "a\0b", "data.jsonl/x", "data.jsonl"], ids=["long", "NUL", "below a file", "a file"]
)
def test_run_folders_that_cannot_be(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        capsys, "fit", "data.jsonl", "--model", "tiny", *FEW, "--out", name, code=3 if name == "data.jsonl/x" else 2
    )


def test_a_long_name_of_data_makes_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("data.jsonl", "漢é" * 40 + "n" * 40 + ".jsonl")
    assert run(["fit", "漢é" * 40 + "n" * 40 + ".jsonl", "--model", "tiny", *FEW, "--json"]) == 0
    assert "Traceback" not in capsys.readouterr().err


# ---- flags -----------------------------------------------------------------------------------------------------------

NUMBERS = ("9e24", "inf", "nan", "1e400", "-1", "0", "1.5", "x", "9" * 30, "9" * 5000)


@pytest.mark.parametrize("flag", ["--seeds", "--rank", "--shots", "--updates"])
def test_numbers_that_are_none(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number in NUMBERS:
        assert flag.strip("-") in plan(capsys, flag, number)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--updates", "100000"),
        ("--updates", "1000", "--seeds", "1000"),
        ("--shots", ",".join(map(str, range(1, 3000)))),
        ("--updates", ",".join(map(str, range(1, 999))), "--lr", ",".join(f"{k}e-6" for k in range(1, 999))),
        ("--lr", "9e34"),
        ("--budget", "9" * 400),
        ("--budget", "99999h"),
        ("--memory", "9" * 400 + "GB"),
        ("--max-length", "-1"),
        ("--labels", "nonsense"),
        ("--choices", "@missing"),
        ("--template", "nothing"),
        ("--instruction", "a\udc80"),
        ("--metric", "regex:("),
        ("--metric", "regex:" + "(" * 5000),
        ("--metric", "regex:a{99999999999}"),
        ("--metric", "match", "--answer-pattern", "("),
    ],
    ids=lambda arguments: " ".join(arguments)[:40].encode("ascii", "replace").decode(),
)
def test_flags_that_make_no_sense(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    plan(capsys, *arguments)


@pytest.mark.parametrize(
    "device", ["meta", "xpu", "cuda:99", "foo", "cpu:3", "mps:7", "hpu", "privateuseone", "", "CPU"]
)
def test_devices_that_are_not_here(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"--device {device}" in plan(capsys, "--device", device)


@pytest.mark.parametrize(
    "given",
    [
        "a=NaN",
        '{"a": [Infinity]}',
        "a=1e999",
        '{"a": "\\ud800"}',
        '{"a":' + "[" * 100_000,
        "tokenize=true",
        "messages=1",
    ],
    ids=lambda given: given[:16],
)
def test_template_arguments_that_no_record_can_hold(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--chat-template-kwargs" in plan(capsys, "--chat-template-kwargs", given)


def test_what_python_may_ask_for_is_bounded_too() -> None:
    for name in ("shots", "rank", "batch", "block", "use_shots", "updates", "lr"):
        for value in (-1, 10**400, float("nan"), float("inf")):
            given: dict[str, Any] = {"lr": 1e-3, "updates": 1, name: value}
            with pytest.raises(UserError):
                Lane(**given)
    for value in (float("nan"), float("inf"), 10**400, "x", None):
        for name in ("shots", "updates", "lr"):
            with pytest.raises(UserError):
                Grid.of(**{name: [value]})
    for value in (float("nan"), float("inf"), -1.0, LONGEST_BUDGET * 2):
        with pytest.raises(UserError):
            budget_of(value)


# ---- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_that_describe_no_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("tiny", "odd", dirs_exist_ok=True)
    config = json.loads(Path("tiny/config.json").read_text())
    Path("odd/config.json").write_text(json.dumps(config | CONFIGS[name]))
    assert "odd: its config.json" in refused(capsys, "plan", "data.jsonl", "--model", "odd")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "5", "[" * 100_000], ids=range(6))
def test_configs_that_are_none(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("tiny", "odd", dirs_exist_ok=True)
    Path("odd/config.json").write_text(content)
    refused(capsys, "plan", "data.jsonl", "--model", "odd")


# ---- chat templates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENDLESS)
def test_chat_templates_that_do_not_end(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.5)
    shutil.copytree("tiny", "chatty", dirs_exist_ok=True)
    byte_tokenizer(
        ENDLESS[name] + "{% for m in messages %}<{{ m.role }}>{{ m.content }}<eos>{% endfor %}"
    ).save_pretrained("chatty")
    message = refused(capsys, "plan", "data.jsonl", "--model", "chatty")
    assert "chat template" in message
    assert ("is not run" in message) == ("power" in name)


@pytest.mark.parametrize("name", COSTLY)
def test_chat_templates_that_are_not_even_run(name: str) -> None:
    with pytest.raises(UserError, match="is not run"):
        limits.refuse_costly(COSTLY[name])
    limits.refuse_costly("{{ 'a' * 80 }}{% for m in messages %}{{ m.content ~ loop.index0 * 2 }}{% endfor %}")


def test_the_limit_of_time_holds_on_every_thread_and_ends_with_its_body() -> None:
    ended: list[str] = []

    def loop() -> None:
        try:
            with limits.time_limit(0.2):
                while True:
                    pass
        except limits.OutOfTime:
            ended.append("in time")

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    thread.join(SECONDS)
    loop()
    assert ended == ["in time"] * 2
    with limits.time_limit(0.05):
        pass
    for _ in range(100_000):  # a stray exception would come here
        pass


# ---- patterns --------------------------------------------------------------------------------------------------------


@posix
def test_a_pattern_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.patterns, "PATTERN_SECONDS", 0.3)
    with pytest.raises(UserError, match="repetition"):
        match("a" * 40 + "!", "a", metrics.compiled(["(a+)+$"]))
    with pytest.raises(OutOfPatience):  # the alarm that was set before is set again
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        match("a", "a", metrics.compiled(["(a+)+$"]))
        while True:
            pass


# ---- runs ------------------------------------------------------------------------------------------------------------

RECORDS = ["", "{}", "[]", "null", '{"schema": 1}', '{"schema": 1, "asked": 5}', "[" * 100_000, "\xff"]


@pytest.mark.parametrize("content", RECORDS, ids=range(len(RECORDS)))
def test_run_folders_that_are_damaged(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_bytes(content.encode("latin-1"))
    for command in (("resume",), ("predict", "a prompt"), ("inspect",)):
        refused(capsys, command[0], str(tmp_path), *command[1:])


@pytest.fixture(scope="module")
def finished(made: Path) -> Path:
    assert run(["fit", str(made / "data.jsonl"), "--model", str(made / "tiny"), *FEW, "--out", str(made / "run")]) == 0
    return made / "run"


@pytest.mark.parametrize(
    "name, content, commands",
    [
        ("result.json", "{", ("resume", "inspect")),
        ("result.json", "{}", ("inspect", "resume")),
        ("bundle/bundle.json", "{", ("predict",)),
        ("bundle/bundle.json", "[]", ("predict",)),
        ("bundle/bundle.json", "[" * 100_000, ("predict",)),
    ],
    ids=range(5),
)
def test_finished_runs_that_were_damaged(
    name: str,
    content: str,
    commands: tuple[str, ...],
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(finished, tmp_path / "r")
    (tmp_path / "r" / name).write_text(content)
    capsys.readouterr()
    for command in commands:
        refused(capsys, command, str(tmp_path / "r"), *(["a prompt"] if command == "predict" else []))


@posix
def test_predict_reads_and_writes_files_alone(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "x.csv")
    refused(capsys, "predict", str(finished), "--in", str(tmp_path / "x.csv"))
    for out in (LONG, "a\0b", str(tmp_path)):
        refused(capsys, "predict", str(finished), "--in", "data.jsonl", "--out", out)


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_a_terminal_is_not_told_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a\x1b[2Jb\u202ec\ud800d\re" + "f" * 10_000)
    shown = capsys.readouterr().err
    assert shown.startswith("a\\x1b[2Jb\\u202ec\\ud800d\\x0de") and len(shown) < 3000


def test_half_a_pair_is_written_as_json_writes_it() -> None:
    assert json.loads(one_line({"a": HALF}).encode()) == {"a": HALF}


def test_what_the_system_refuses_is_no_bug() -> None:
    for number, code in ((13, 3), (30, 3), (36, 2), (20, 2)):
        error = output.as_known(OSError(number, os.strerror(number), "x" * 9000))
        assert error is not None and error.exit_code == code and len(error.line()) < 300


def test_an_error_of_a_device_is_not_taken_for_too_little_memory() -> None:
    """Break seen to fail: every AcceleratorError."""
    AcceleratorError = type("AcceleratorError", (RuntimeError,), {})
    assert output.as_known(AcceleratorError("CUDA error: device-side assert triggered")) is None
    full = output.as_known(AcceleratorError("CUDA error: out of memory"))
    assert full is not None and full.code == "memory"
