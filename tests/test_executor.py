"""Helper processes: what they compute is what one process computes, and their death costs seconds, not results."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import fewfit
from fewfit.errors import EnvironmentProblem
from fewfit.predictions import read
from fewfit.run import execute, executor, sizing
from tests.models_made import tiny
from tests.streams_made import examples
from tests.tokenizers_made import byte_level

GRID = {"shots": [2], "lr": [1e-3, 3e-3], "updates": [1, 4], "methods": ["icl", "ft", "icl+ft"], "race": True}
TIMELESS = {"seconds": 0, "costs": [], "run": ""}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny("llama", vocab_size=len(byte_level())).save_pretrained(folder)
    byte_level().save_pretrained(folder)
    return folder


@pytest.fixture
def eager(monkeypatch, tmp_path):
    """A helper from the first moment on, however little there is to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executor, "LOOK_AFTER", 0.0)
    monkeypatch.setattr(executor, "WORTH_STARTING", 0.0)
    monkeypatch.setattr(executor, "WORTH_HANDING", 2)
    monkeypatch.setattr(execute, "processors", lambda: 2)
    monkeypatch.setattr(execute, "SNAPSHOT_SECONDS", 0.5)


def run(model, out, **settings):
    data = [(e.prompt, e.completion) for e in examples(40)]
    return fewfit.fit(data, model=str(model), out=out, **{**GRID, **settings})


def slowly(monkeypatch, seconds=0.02):
    """The main process takes its time, so that the helper has something to take."""
    inner = executor.LocalExecutor.poll

    def poll(self, stream):
        time.sleep(seconds)
        inner(self, stream)

    monkeypatch.setattr(executor.LocalExecutor, "poll", poll)


def watched(monkeypatch) -> list[int]:
    """How many tracks a helper has after each hand-over."""
    handed: list[int] = []
    inner = executor.LocalExecutor._hand
    monkeypatch.setattr(
        executor.LocalExecutor, "_hand", lambda self, h, s: (inner(self, h, s), handed.append(len(h.tracks)))[0]
    )
    return handed


def helper_of() -> int | None:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes()
            parent = int((entry.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if b"fewfit.run.helper" in text and parent == os.getpid():
            return int(entry.parent.name)
    return None


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(model, eager, monkeypatch, tmp_path):
    """Break seen to fail: handing a track over without its snapshot."""
    monkeypatch.setattr(execute, "processors", lambda: 1)
    alone = run(model, tmp_path / "alone")
    monkeypatch.setattr(execute, "processors", lambda: 2)
    slowly(monkeypatch, 0.15)
    handed = watched(monkeypatch)
    both = run(model, tmp_path / "both")
    assert handed and max(handed) > 0
    for name in ("predictions.jsonl", "trained.jsonl"):
        assert (both.folder / name).read_bytes() == (alone.folder / name).read_bytes()
    assert {**both.result, **TIMELESS} == {**alone.result, **TIMELESS}


@pytest.mark.slow
def test_where_much_is_ahead_a_helper_begins_at_once(model, eager, monkeypatch, tmp_path):
    """With its imports, before anything is measured; the bytes are those of one process. Break seen to fail: the job
    not said to it."""
    monkeypatch.setattr(execute, "processors", lambda: 1)
    alone = run(model, tmp_path / "alone")
    monkeypatch.setattr(execute, "processors", lambda: 2)
    monkeypatch.setattr(execute, "SURELY_WORTH", 0.0)
    monkeypatch.setattr(executor, "WORTH_STARTING", 1e9)  # nor by what is measured
    slowly(monkeypatch, 0.15)
    handed = watched(monkeypatch)
    both = run(model, tmp_path / "both")
    assert handed and max(handed) > 0 and helper_of() is None
    for name in ("predictions.jsonl", "trained.jsonl"):
        assert (both.folder / name).read_bytes() == (alone.folder / name).read_bytes()


@pytest.mark.slow
def test_a_helper_begun_for_nothing_is_gone(model, eager, monkeypatch, tmp_path):
    """Where memory has room for one process only, and where the run fails before it begins. Break seen to fail: left to
    wait for its job."""
    monkeypatch.setattr(execute, "SURELY_WORTH", 0.0)
    begun = []
    inner = executor.Helper.__init__
    monkeypatch.setattr(executor.Helper, "__init__", lambda self, number: (inner(self, number), begun.append(self))[0])

    def cramped(*what, helpers, **how):
        # What /proc says of a process that has just begun may still be its parent's on a busy machine.
        assert helpers == 1 and any(helper_of() is not None or time.sleep(0.05) for _ in range(200))
        return sizing.size_passes(*what, helpers=0, **how)

    monkeypatch.setattr(execute, "size_passes", cramped)
    run(model, tmp_path / "cramped")
    assert [one.process.returncode is not None for one in begun] == [True]

    def failing(*what, **how):
        raise EnvironmentProblem("no room", hint="none")

    monkeypatch.setattr(execute, "size_passes", failing)
    with pytest.raises(EnvironmentProblem, match="no room"):
        run(model, tmp_path / "failing")
    assert [one.process.returncode is not None for one in begun] == [True, True] and helper_of() is None


@pytest.mark.slow
def test_a_helper_that_dies_costs_seconds_only(model, eager, monkeypatch, tmp_path):
    """Break seen to fail: not taking its tracks back."""
    slowly(monkeypatch, 0.15)
    killed = []

    def on_row(row):
        pid = helper_of()
        if pid is not None and not killed and handed:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    handed = watched(monkeypatch)
    data = [(e.prompt, e.completion) for e in examples(40)]
    done = fewfit.fit(data, model=str(model), out=tmp_path / "run", on_row=on_row, **{**GRID, "race": False})
    assert killed
    assert all(lane["status"] == "done" and lane["n"] == 40 for lane in done.lanes)
    assert len(read(done.folder)) == 40 * len(done.lanes)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_track_is_its_folder_wherever_that_lies(tmp_path, optimizer):
    """Begun in one place, copied to another, gone on with by another learner over another copy of the model: as if it
    had never moved. Nothing in the record names a place. Breaks seen to fail: the optimizer's state left out of the
    record; the file of weights named by its path."""
    from fewfit.engine.learner import Track
    from fewfit.engine.stream import Progress, Stream, steps
    from fewfit.grid import Lane
    from fewfit.run.snapshots import Store, track_name
    from fewfit.run.teams import team_of
    from tests.streams_made import task_of

    lane = Lane(shots=2, lr=3e-3, updates=3, optimizer=optimizer)
    track = Track(lane.name, 0)

    def go_on(at, until):
        task = task_of(examples(12))
        learner = team_of(lane).learner(tiny("llama", vocab_size=len(byte_level())), task.renderer, len(task))
        store = Store(at / "lanes")
        progress = Progress(track, lane, list(steps(lane, 12)))
        was = store.begin(progress)
        if was.state is not None:
            learner.restore(track, lane, was.state)
            progress.opened = True
        Stream(task, learner, store, stop=lambda: progress.done >= until, width=8).run([progress])
        learner.close()
        store.close()
        return at / "lanes" / track_name(track)

    whole = go_on(tmp_path / "whole", 36)
    half = go_on(tmp_path / "here", 17)
    record = (half / "state.json").read_text()
    assert str(tmp_path) not in record and str(os.getpid()) not in record and "cpu" not in record
    there = tmp_path / "there" / "lanes" / half.name
    shutil.copytree(half, there)
    shutil.rmtree(tmp_path / "here")
    assert go_on(tmp_path / "there", 36) == there
    for name in ("predictions.jsonl", "trained.jsonl"):
        assert (there / name).read_bytes() == (whole / name).read_bytes()
    (ours,), (theirs,) = (list(at.glob("*.safetensors")) for at in (there, whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_tracks_are_dealt_evenly():
    """Break seen to fail: every track to the first hand."""
    from fewfit.engine.learner import Track
    from fewfit.engine.stream import Progress, steps
    from fewfit.grid import Lane

    lanes = [Lane(shots=k, lr=1e-3, updates=u) for k in (0, 4) for u in (1, 5, 10)]
    tracks = [Progress(Track(lane.name, 0), lane, list(steps(lane, 60))) for lane in lanes]
    tracks.sort(key=lambda p: p.left, reverse=True)
    share = executor.deal(tracks, 2)
    total = sum(p.left for p in tracks)
    assert 0.3 < sum(p.left for p in share) / total < 0.7
    assert executor.deal(tracks[:1], 2) == []


@pytest.mark.parametrize("hands", [2, 3, 4, 8, 12, 15, 32])
def test_as_many_hands_as_there_are_get_their_share(hands: int):
    """Helpers ask one after another and once. Breaks seen to fail: hands that have theirs counted again, so that the
    last ones get little; nothing for anybody where a group of lanes is larger than a hand."""
    from fewfit.engine.learner import Track
    from fewfit.engine.stream import Progress, steps
    from fewfit.grid import Grid

    tracks = [Progress(Track(lane.name, 0), lane, list(steps(lane, 60))) for lane in Grid.of().lanes]
    tracks.sort(key=lambda p: p.left, reverse=True)
    total, longest = sum(p.left for p in tracks), tracks[0].left
    shares = []
    for idle in range(hands - 1, 0, -1):
        share = executor.deal(tracks, 1 + idle)
        tracks = [one for one in tracks if one not in share]
        shares.append(sum(p.left for p in share))
    shares.append(sum(p.left for p in tracks))
    assert max(shares) <= max(1.5 * total / hands, longest)
    assert sum(share > 0 for share in shares) == min(hands, len(Grid.of().lanes))


def test_lanes_that_share_passes_are_dealt_together():
    """The quick grid in two hands: none of the three numbers of shots is parted. Break seen to fail: lanes in turn."""
    from fewfit.engine.learner import Track
    from fewfit.engine.stream import Progress, steps
    from fewfit.grid import Grid

    lanes = [lane for lane in Grid.of().lanes if lane.trains]
    share = executor.deal([Progress(Track(x.name, 0), x, list(steps(x, 60))) for x in lanes], 2)
    assert len(share) in (4, 8)
    assert all(sum(p.lane.shots == k for p in share) in (0, 4) for k in (0, 4, 8))


def test_a_lane_that_leaves_the_race_elsewhere_is_told_where():
    """What it writes until it hears of it must not count. Break seen to fail: telling it before the place is noted."""
    from fewfit.engine.learner import Track
    from fewfit.engine.stream import Progress, Stream, steps
    from fewfit.grid import Lane

    lane = Lane(lr=1e-3, updates=1)
    progress = Progress(Track(lane.name, 0), lane, list(steps(lane, 40)), elsewhere=True)
    told = []

    class Executor:
        def drop(self, one):
            told.append(one.left_at)

    class Decided:
        def leaving(self, out):
            return {lane.name: 17}

    stream = Stream(None, None, None, executor=Executor())  # type: ignore[arg-type]
    stream._drop(Decided(), [progress])  # type: ignore[arg-type]
    assert told == [17] and progress.status == "running"


@pytest.mark.parametrize(
    "quantization, chooser, alone",
    [(None, "random", False), ({"load_in_4bit": True}, "random", True), (None, "my own", True)],
)
def test_what_helpers_would_do_otherwise_is_run_alone(quantization, chooser, alone, monkeypatch):
    """Breaks seen to fail: helpers with whole weights beside a main process with packed ones; helpers for lanes whose
    code they do not have."""
    from fewfit.grid import Lane

    model = tiny("llama")
    model.config.quantization_config = quantization
    loaded = SimpleNamespace(model=model, ref=SimpleNamespace(digest="files:1"))
    work, session = (
        SimpleNamespace(
            loaded=loaded, tracks=[1, 2], team=SimpleNamespace(lanes=(Lane(shots=1, demonstrations=chooser),))
        ),
        SimpleNamespace(record={"metric": "choice"}, prepared=SimpleNamespace(part=None)),
    )
    monkeypatch.setattr(execute, "processors", lambda: 2)
    assert execute.helpers_possible(work, session) == (0 if alone else 1)
