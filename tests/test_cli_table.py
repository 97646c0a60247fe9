"""The tables: what is known of a run while it goes on, shown on a terminal, in a log, and at the end."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fewfit.cli.closing import lanes_table, next_commands
from fewfit.cli.closing import test_table as judged_table
from fewfit.cli.table import Lines, LiveTable, drawn, progress_line, table
from fewfit.grid import PRESETS, Grid, Lane
from fewfit.report.numbers import clock
from fewfit.run import board as boards
from fewfit.run import folders
from fewfit.run.board import Board, spark
from fewfit.run.watch import RunInfo

QUICK = Grid.of(**PRESETS["quick"]).lanes
THOROUGH = Grid.of(**PRESETS["thorough"]).lanes


def info(tmp_path: Path, lanes: tuple[Lane, ...] = QUICK, n: int = 20, seeds: int = 1, **more: Any) -> RunInfo:
    totals = {lane.name: n * max(1, lane.updates) for lane in lanes}
    return RunInfo(tmp_path, "reviews", n, ("lab",), "choice", lanes, tuple(range(seeds)), totals, **more)


def text_of(thing: Any, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, height=60).print(thing)
    return out.getvalue()


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hand = Clock()
    monkeypatch.setattr(boards, "time", hand)
    return hand


# ---- what is known --------------------------------------------------------------------------------------------------


def test_scores_are_means_over_all_seeds(tmp_path: Path) -> None:
    """Break seen to fail: the mean of the last seed alone."""
    board = Board(info(tmp_path, n=2, seeds=2))
    for seed, scores in enumerate([(1.0, 0.0), (1.0, 1.0)]):
        for k, score in enumerate(scores):
            board.row("icl-4", seed, {"score": score}, (k + 1) / 2)
        assert board.status("icl-4") == "running"
        board.ended("icl-4", seed, "done")
    state = board.lanes["icl-4"]
    assert (state.mean, state.done, state.rows) == (0.75, 4, 4)
    assert state.means == [1.0, 0.5, 2 / 3, 0.75]
    assert board.status("icl-4") == "done"


def test_a_lane_is_as_bad_off_as_its_worst_seed(tmp_path: Path) -> None:
    board = Board(info(tmp_path, seeds=2))
    assert board.status("ft-lr1e-3-u1") == "waiting"
    board.ended("ft-lr1e-3-u1", 0, "diverged")
    assert board.status("ft-lr1e-3-u1") == "running"
    board.ended("ft-lr1e-3-u1", 1, "done")
    assert board.status("ft-lr1e-3-u1") == "diverged"


def test_time_left_knows_that_tuning_lanes_are_dear(tmp_path: Path, watch: Clock) -> None:
    """One of two lanes done says nothing like half. Break seen to fail: every lane weighed alike."""
    lanes = (Lane(), Lane(shots=8, lr=1e-3, updates=5))
    board = Board(info(tmp_path, lanes))
    assert board.left() is None, "nothing is known yet"
    for i in range(20):
        board.row("zero-shot", 0, {"score": 1.0}, (i + 1) / 20)
    board.ended("zero-shot", 0, "done")
    watch.now += 2.0
    assert board.share() < 0.02
    left = board.left()
    assert left is not None and left > 100


def test_time_left_takes_what_was_timed(tmp_path: Path, watch: Clock) -> None:
    """Break seen to fail: run.json not looked at."""
    lanes = (Lane(), Lane(lr=1e-3, updates=5))
    costs = {"zero-shot": 10.0, "ft-lr1e-3-u5": 30.0}
    (tmp_path / "run.json").write_text(json.dumps({"estimated_seconds": costs}))
    board = Board(info(tmp_path, lanes))
    board.ended("zero-shot", 0, "done")
    watch.now += 5.0
    assert board.share() == pytest.approx(0.25)
    assert board.left() == pytest.approx(15.0)


def test_time_left_of_a_resumed_run_counts_from_now(tmp_path: Path, watch: Clock) -> None:
    """Break seen to fail: the share done before taken for work done now."""
    board = Board(info(tmp_path, (Lane(),), done={("zero-shot", 0): 10}))
    assert board.lanes["zero-shot"].done == 10
    watch.now += 10.0
    board.row("zero-shot", 0, {"score": 0.0}, 0.75)
    assert board.left() == pytest.approx(10.0)


def test_a_lane_that_left_early_is_no_work_any_more(tmp_path: Path, watch: Clock) -> None:
    board = Board(info(tmp_path, (Lane(), Lane(shots=4))))
    board.ended("icl-4", 0, "dropped")
    board.ended("zero-shot", 0, "done")
    assert board.share() == 1.0


def test_a_resumed_run_knows_what_ended_before(tmp_path: Path) -> None:
    """And with which scores. Break seen to fail: earlier_statuses left out: "running" for ever."""
    from fewfit.engine.learner import Track
    from fewfit.run.snapshots import track_name

    folder = tmp_path / "lanes" / track_name(Track("icl-4", 0))
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"status": "dropped"}))
    rows = [{"lane": "icl-4", "seed": 0, "i": i, "score": score} for i, score in ((1, 1.0), (2, 0.0))]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    resumed = info(tmp_path, (Lane(), Lane(shots=4)), done={("icl-4", 0): 2})
    board = Board(resumed, boards.earlier_scores(resumed))
    assert board.status("icl-4") == "dropped" and board.status("zero-shot") == "waiting"
    assert (board.lanes["icl-4"].mean, board.lanes["icl-4"].done) == (0.5, 2)


def test_early_means_are_not_the_best(tmp_path: Path) -> None:
    """One hit out of one is no lead over twenty rows. Break seen to fail: the plain maximum."""
    board = Board(info(tmp_path))
    for i in range(20):
        board.row("zero-shot", 0, {"score": float(i % 2)}, i / 20)
    board.row("ft-lr1e-3-u1", 0, {"score": 1.0}, 0.05)
    assert board.best() == "zero-shot"


def test_many_lanes_show_the_best_few_of_each_kind(tmp_path: Path) -> None:
    """Break seen to fail: the first few instead of the best."""
    board = Board(info(tmp_path, THOROUGH))
    good = THOROUGH[-1].name
    board.row(good, 0, {"score": 1.0}, 0.1)
    shown = board.shown(20)
    assert [kind for kind, _, _ in shown] == ["zero-shot", "icl", "ft", "icl+ft"]
    assert sum(len(names) for _, names, _ in shown) <= 20
    assert sum(len(names) + left for _, names, left in shown) == len(THOROUGH)
    assert shown[-1][1][0] == good
    assert board.shown(200)[-1][2] == 0


def test_sparks_and_clocks() -> None:
    assert spark([]) == ""
    assert spark([0.0, 0.5, 1.0]) == "▁▅█"
    assert len(spark([0.5] * 500)) == 12
    assert spark([0.0] * 99 + [1.0])[-1] == "█", "the last one is now"
    assert [clock(s) for s in (None, 5, 65, 3700, 260000)] == ["–", "5s", "1m05s", "1h01m", "3.0d"]


# ---- while it runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [QUICK, THOROUGH], ids=["quick", "thorough"])
def test_eighty_columns_are_enough(tmp_path: Path, lanes: tuple[Lane, ...]) -> None:
    """Break seen to fail: a lane's column that does not give way."""
    board = Board(info(tmp_path, lanes, n=200))
    for lane in lanes:
        for i in range(30):
            board.row(lane.name, 0, {"score": float(i % 3 == 0)}, i / 200)
    shown = text_of(drawn(board, "timing a few steps"))
    assert max(map(len, shown.splitlines())) <= 80
    for wanted in ("kind", "lane", "score", "so far", "rows", "state", "30/200", "running", "left", "33.3"):
        assert wanted in shown, wanted
    assert len(shown.splitlines()) <= 27
    if lanes is QUICK:
        assert all(lane.name in shown for lane in lanes)


def test_a_low_terminal_shows_fewer_lanes(tmp_path: Path) -> None:
    """Break seen to fail: the height not asked for."""
    board = Board(info(tmp_path, THOROUGH))
    assert len(text_of(drawn(board, height=16)).splitlines()) <= 16


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table_and_a_pipe_gets_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with table(stream=Terminal()) as watch:
        assert isinstance(watch, LiveTable)
    with table(stream=io.StringIO()) as watch:
        assert isinstance(watch, Lines)
    with table(quiet=True) as watch:
        assert watch is None


def test_the_terminal_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a run breaks off. Break seen to fail: no close() in the context's end."""
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    with pytest.raises(RuntimeError, match="oops"):
        with table(stream=screen) as watch:
            assert watch is not None
            watch.begin(info(tmp_path))
            watch.row("zero-shot", 0, {"score": 1.0}, 0.1)
            raise RuntimeError("oops")
    written = screen.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is shown again"


def test_a_stopped_run_leaves_its_table_on_the_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    with table(stream=screen) as watch:
        assert watch is not None
        watch.begin(info(tmp_path))
        watch.row("zero-shot", 0, {"score": 1.0}, 0.1)
        watch.end(None)
    assert "zero-shot" in screen.getvalue().split("\x1b[?25h")[-1]


def test_lines_come_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: a line for every row."""
    from fewfit.cli import table as tables

    hand = Clock()
    monkeypatch.setattr(tables, "time", hand)
    monkeypatch.setattr(boards, "time", hand)
    out = io.StringIO()
    lines = Lines(out)
    lines.phase("loading lab")
    lines.begin(info(tmp_path, notices=("one thing", "one thing"), majority=0.5))
    for i in range(20):
        hand.now += 1.0
        lines.row("zero-shot", 0, {"score": 1.0}, (i + 1) / 20)
    lines.lane("zero-shot", 0, "done")
    lines.lane("icl-4", 0, "diverged")
    said = out.getvalue().splitlines()
    assert all(line.startswith("fewfit: ") for line in said)
    assert said[0] == "fewfit: loading lab"
    assert sum("one thing" in line for line in said) == 1
    assert sum("gone" in line for line in said) == 4
    assert "icl-4 diverged" in said[-1]
    assert "20 examples on lab, 15 lanes, scored by choice, most frequent answer 50.0" in out.getvalue()
    assert lines.board is not None and "best so far zero-shot 100.0" in progress_line(lines.board)


def test_nobody_listening_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Break seen to fail: BrokenPipeError let through, which would end the run."""

    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    lines = Lines(Gone())
    lines.begin(info(tmp_path))
    lines.end({"seconds": 1.0})


# ---- at the end -----------------------------------------------------------------------------------------------------


def result_of(lanes: tuple[Lane, ...], best: str) -> dict[str, Any]:
    return {
        "run": "runs/x",
        "best": best,
        "metric": "choice",
        "majority": 0.4,
        "verdict": "ICL is better than tuning by 5 points (1 to 9).",
        "lanes": [
            {
                "name": lane.name, "model": None, "kind": lane.kind, "shots": lane.shots, "lr": lane.lr,
                "updates": lane.updates, "n": 20, "prequential": 0.5, "score": 0.9 if lane.name == best else 0.6,
                "interval": [0.4, 0.95], "tokens": 60.0,
                "accuracy": 0.5, "nll": None if lane.kind == "ft" else 1.25, "status": "done",
            }
            for lane in lanes
        ],
        "test": [{"name": best, "kind": "icl", "n": 50, "score": 0.8, "interval": [0.66, 0.9]}],
    }  # fmt: skip


@pytest.mark.parametrize("wide", [True, False], ids=["wide", "shrink"])
def test_the_final_table(wide: bool) -> None:
    """Break seen to fail: majority's share under another column; the best one not marked."""
    shown = text_of(lanes_table(result_of(QUICK, "icl-8"), wide=wide), width=120 if wide else 80)
    lines = shown.splitlines()
    assert lines[0].split()[:2] == ["kind", "lane"]
    columns = ["n", "score", "95%", "stream", "nll", "status"] if wide else ["score", "95%", "nll", "status"]
    assert lines[0].split()[-len(columns) :] == columns
    assert ("updates" in lines[0]) == wide
    marked = ["90.0", "40.0", "to", "95.0", *(["50.0"] if wide else []), "1.25", "done"]
    assert [line.split()[-len(marked) :] for line in lines if line.startswith("▶")] == [marked]
    assert all(lane.name in shown for lane in QUICK)
    (majority,) = [line for line in lines if "majority" in line]
    assert majority.split()[-1] == "40.0"
    assert majority.index("40.0") + 4 == lines[0].index("score") + 5
    assert max(map(len, lines)) <= (120 if wide else 80)


def test_many_lanes_end_in_a_short_table_that_holds_the_best() -> None:
    """Break seen to fail: the first lanes of each kind, whatever they score."""
    best = THOROUGH[-1].name
    shown = text_of(lanes_table(result_of(THOROUGH, best), wide=False))
    assert best in shown
    assert len(shown.splitlines()) < 30
    assert "more in result.json" in shown


def test_the_test_table_names_interval_and_n() -> None:
    shown = text_of(judged_table(result_of(QUICK, "icl-8")))
    assert "80.0" in shown and "66.0 to 90.0" in shown and "50" in shown


@pytest.mark.parametrize(
    "settled, preset, third",
    [
        (False, "quick", "fewfit fit 'my data.csv' --model lab --seeds 3"),
        (True, "quick", "fewfit fit 'my data.csv' --model lab --preset thorough"),
        (True, "thorough", "fewfit predict runs/x --in prompts.jsonl --out answers.jsonl"),
    ],
)
def test_the_next_commands(
    settled: bool, preset: str, third: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They can be pasted. Break seen to fail: a path with a space left unquoted."""

    asked = {"model": {"value": "lab", "source": "given"}, "preset": {"value": preset, "source": "given"}}
    record = {"data": {"path": str(tmp_path / "my data.csv")}, "asked": asked, "seeds": [0]}
    monkeypatch.setattr(folders, "record", lambda folder: record)
    monkeypatch.chdir(tmp_path)
    commands = next_commands({**result_of(QUICK, "icl-8"), "settled": settled}, Path("runs/x"))
    assert commands[:2] == ['fewfit predict runs/x "PROMPT"', "fewfit inspect runs/x --lane icl-8 --at 20"]
    assert commands[2] == third


@pytest.mark.parametrize(
    "given, third",
    [
        (
            {"input": "review", "output": "stars", "labels": {"0": "bad", "1": "good"}, "shots": [2, 4], "race": False},
            "fewfit fit data.csv --model lab --preset thorough --shots 2,4 --no-race --input review --output stars "
            "--labels 0=bad,1=good",
        ),
        (
            {"template": "Q: {prompt}\n{completion}", "answer_pattern": ["a", "b c"], "layers": "upper-half"},
            "fewfit fit data.csv --model lab --preset thorough --layers upper-half --answer-pattern a "
            "--answer-pattern 'b c' --template 'Q: {prompt}\\n{completion}'",
        ),
        (
            {"instruction": "Sort.\nBe brief.", "system": "a\nb"},
            "fewfit fit data.csv --model lab --preset thorough --instruction 'Sort.\\nBe brief.' --system 'a\\nb'",
        ),
        (
            {"shots": [4], "lr": [1e-3], "updates": [1]},  # thorough would be these very lanes
            "fewfit predict runs/x --in prompts.jsonl --out answers.jsonl",
        ),
        ({"block": 2}, "fewfit predict runs/x --in prompts.jsonl --out answers.jsonl"),
        ({"metric": "<function>"}, "fewfit predict runs/x --in prompts.jsonl --out answers.jsonl"),
        ({"test": [["a", "b"]]}, "fewfit predict runs/x --in prompts.jsonl --out answers.jsonl"),
    ],
)
def test_the_next_command_reads_the_data_as_this_one_did(
    given: dict[str, Any], third: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Break seen to fail: the grid's flags alone."""

    asked = {"model": "lab", "preset": "quick", "chat": "auto", "race": None, "answer_pattern": [], **given}
    record = {
        "data": {"path": str(tmp_path / "data.csv")},
        "asked": {name: {"value": value, "source": "given"} for name, value in asked.items()},
        "seeds": [0],
    }
    monkeypatch.setattr(folders, "record", lambda folder: record)
    monkeypatch.chdir(tmp_path)
    assert next_commands({**result_of(QUICK, "icl-8"), "settled": True}, Path("runs/x"))[2] == third
