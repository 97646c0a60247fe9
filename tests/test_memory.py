"""Memory: what there is, what a run takes of it, and what happens where that is too much. No number changes by it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from models_made import tiny
from stack_rows import lane, opened, random_row, rows_of, track_of
from streams_made import Memory, examples, run_lanes, stacked_learner, task_of
from tokenizers_made import byte_level

import fewfit
from fewfit.engine import memory
from fewfit.engine.learner import LaneState, Row, Track
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.errors import EnvironmentProblem
from fewfit.grid import Lane
from fewfit.run.passes import Sizes

torch.set_num_threads(1)
GB = 1 << 30
VOCABULARY = len(byte_level())
LANES = [Lane(), Lane(shots=2), *(Lane(shots=k, lr=3e-3, updates=u) for k, u in ((0, 2), (2, 2), (2, 3)))]

# ---- how much there is -----------------------------------------------------------------------------------------------


def tree(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")
    return root


MEMINFO = {"proc/meminfo": f"MemTotal: {64 * GB // 1024} kB\nMemAvailable: {32 * GB // 1024} kB"}
V1 = "sys/fs/cgroup/memory/"
LIMIT, USED, STAT = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 32 * GB),
        # version 2: a limit of the group above counts as well; files that were read once do not count as taken
        (
            {
                "proc/self/cgroup": "0::/jobs/mine",
                "sys/fs/cgroup/jobs/mine/memory.max": "max",
                "sys/fs/cgroup/jobs/mine/memory.current": 1 * GB,
                "sys/fs/cgroup/jobs/memory.max": 8 * GB,
                "sys/fs/cgroup/jobs/memory.current": 6 * GB,
                "sys/fs/cgroup/jobs/memory.stat": f"anon 1\ninactive_file {2 * GB}",
            },
            4 * GB,
        ),
        # where memory is throttled before it is refused
        (
            {
                "proc/self/cgroup": "0::/",
                "sys/fs/cgroup/memory.max": 8 * GB,
                "sys/fs/cgroup/memory.high": 3 * GB,
                "sys/fs/cgroup/memory.current": 1 * GB,
            },
            2 * GB,
        ),
        # version 1, its controllers in one line, a very large number for no limit
        (
            {
                "proc/self/cgroup": "5:cpu,memory:/docker/abc\n0::/",
                V1 + "docker/abc/" + LIMIT: 5 * GB,
                V1 + "docker/abc/" + USED: 3 * GB,
                V1 + "docker/abc/" + STAT: f"total_inactive_file {1 * GB}",
                V1 + LIMIT: 9223372036854771712,
                V1 + USED: 20 * GB,
            },
            3 * GB,
        ),
        # a container sees the host's path and its own group at the top
        (
            {"proc/self/cgroup": "4:memory:/docker/abc", V1 + LIMIT: 2 * GB, V1 + USED: 1 * GB},
            1 * GB,
        ),
        # more taken than allowed: nothing, not less than nothing
        ({"proc/self/cgroup": "4:memory:/", V1 + LIMIT: 1 * GB, V1 + USED: 2 * GB}, 0),
    ],
)
def test_what_is_free_is_what_machine_and_control_groups_leave(tmp_path, files, expected) -> None:
    """Breaks seen to fail: the process's own group only; page cache counted as taken; version 1 not read."""
    assert memory.available(tree(tmp_path, {**MEMINFO, **files})) == expected


def test_a_limit_of_the_process_counts(tmp_path) -> None:
    """Of addresses, less those it has. Break seen to fail: the limit itself taken for what is free."""
    import resource
    import subprocess
    import sys

    code = "from fewfit.engine import memory; print(memory.available())"
    limits = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (2 * GB, 2 * GB))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **limits)
    assert 1 * GB < int(done.stdout) < 2 * GB - (10 << 20)


def test_this_machine_tells_something() -> None:
    """Break seen to fail: kilobytes taken for bytes."""
    assert 50 << 20 < memory.available() < 1 << 50
    assert memory.available(Path("/nowhere")) == memory.ASSUMED


# ---- a pass that does not fit ----------------------------------------------------------------------------------------


class Tight:
    """A learner on a device that holds so many rows (of a training step: so many), as CUDA would say it."""

    def __init__(self, inner, most: int, error: type[Exception] = torch.OutOfMemoryError):
        self.inner, self.most, self.error = inner, most, error
        self.spared = 0
        self.calls: list[tuple[str, int]] = []

    def _checked(self, what, rows, *more):
        self.calls.append((what, len(rows)))
        if what == "score" and len(rows) > self.most:
            self.inner.score(rows)  # it gets some way
            raise self.error("CUDA out of memory. Tried to allocate 20.00 MiB")
        if what == "update" and len(rows) > max(1, self.most - 1):
            raise self.error("CUDA out of memory. Tried to allocate 20.00 MiB")
        return getattr(self.inner, what)(rows, *more)

    def score(self, rows):
        return self._checked("score", rows)

    def update(self, rows):
        return self._checked("update", rows)

    def generate(self, rows, most, begun=None):
        return self._checked("generate", rows, most, begun)

    def enable_recompute(self):
        self.spared += 1
        self.most += self.spared == 1
        return self.spared == 1

    def __getattr__(self, name):
        return getattr(self.inner, name)


def run(tight: int | None, judge: str = "exact", **stream):
    model, task = tiny("llama", vocab_size=VOCABULARY), task_of(examples(10), judge=judge)
    learner = stacked_learner(model, task)
    wrapped = learner if tight is None else Tight(learner, tight)
    sink = run_lanes(model, task, LANES, learner=wrapped, width=8, tokens=1024, **stream)
    learner.close()
    return sink, wrapped


def told(sink: Memory) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in (*sink.rows, *sink.updates))


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["exact", "choice", "match"])
@pytest.mark.parametrize("most", [3, 1])
def test_passes_are_halved_until_they_fit_and_nothing_else_changes(judge: str, most: int) -> None:
    """Evidence and weights to the last bit. Breaks seen to fail: the second half left out; passes as large as
    before the next time."""
    on_shrink: list[int] = []
    whole, _ = run(None, judge)
    halved, tight = run(most, judge, on_shrink=on_shrink.append)
    assert told(halved) == told(whole)
    for track, state in whole.states.items():
        assert state.steps == halved.states[track].steps
        for name, tensor in state.tensors.items():
            assert torch.equal(tensor, halved.states[track].tensors[name])
    assert on_shrink and on_shrink == sorted(on_shrink, reverse=True)
    failed = sum(rows > most for what, rows in tight.calls if what == "score")
    assert failed <= 8, "a pass that did not fit is not tried again at every step"


@pytest.mark.slow
def test_a_single_step_that_does_not_fit_runs_layers_again_and_then_says_so() -> None:
    """Break seen to fail: tried for ever."""
    _, tight = run(0)
    assert tight.spared == 1
    with pytest.raises(
        EnvironmentProblem, match=r"one step of \d+ tokens does not fit the memory .*; fewer --shots"
    ) as told:
        run(-1)
    assert (told.value.exit_code, told.value.code) == (3, "memory")


@pytest.mark.parametrize(
    "error, seen",
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, seen) -> None:
    """Break seen to fail: any RuntimeError taken for it, which would hide bugs behind halvings."""
    assert memory.is_exhausted(error) is seen


def test_the_tensors_of_a_pass_that_failed_are_gone_before_the_next() -> None:
    """ENGINE rule 13: the traceback holds the frames, and they hold the tensors. Break seen to fail: the parts made
    inside the `except`."""
    alive: list[list[bool]] = []
    made: list = []

    def call(rows):
        import weakref

        big = torch.zeros(10)
        alive.append([ref() is not None for ref in made])
        made.append(weakref.ref(big))
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return rows

    learner = SimpleNamespace(drop_graphs=lambda: None, enable_recompute=lambda: False)
    track = Track("ft", 0)
    rows = [Row(track, (k,), ((0, 1),)) for k in range(4)]
    assert memory.in_parts(call, rows, learner, lambda rows: None) == rows
    assert len(alive) == 7 and not any(flag for flags in alive for flag in flags)


@pytest.mark.parametrize("kind", [StackLearner, PlainLearner])
def test_gradients_of_a_pass_that_failed_are_zeroed(kind, monkeypatch) -> None:
    """A backward that ends half-way, then the same update: as if nothing had been. Breaks seen to fail: `drop_graphs`
    doing nothing, for either learner."""
    one = lane()
    rows = [random_row(track_of(one), random.Random(k)) for k in range(3)]
    learners = [opened(tiny("llama"), [one], kind) for _ in range(2)]
    inner, left = torch.Tensor.backward, [1]

    def backward(self, *args, **kwargs):
        inner(self, *args, **kwargs)
        if left[0] == 0:
            left[0] = -1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        left[0] -= 1

    whole = torch.autograd.grad

    def all_at_once(*args, **kwargs):
        out = whole(*args, **kwargs)
        if left[0] == 1:
            left[0] = -1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return out

    if kind is PlainLearner:
        monkeypatch.setattr(torch.Tensor, "backward", backward)
    else:
        monkeypatch.setattr(torch.autograd, "grad", all_at_once)
    learners[0].score(rows)
    with pytest.raises(torch.OutOfMemoryError):
        learners[0].update(rows)
    learners[0].score(rows)
    learners[0].drop_graphs()
    assert not learners[0].__dict__.get("_graphs") and not learners[0].__dict__.get("_graph"), (
        "nothing holds its tensors"
    )
    monkeypatch.undo()
    for learner in learners:
        learner.update(rows)
    states = [learner.state(track_of(one)) for learner in learners]
    assert all(torch.equal(tensor, states[1].tensors[name]) for name, tensor in states[0].tensors.items())


def test_an_optimizers_step_is_never_made_twice(monkeypatch) -> None:
    """Exhausted in the middle of it the lane is neither old nor new: the session ends, the snapshot is good. Break seen
    to fail: the step left unguarded."""
    one = lane()
    learner = opened(tiny("llama"), [one])
    monkeypatch.setattr(learner, "_step", lambda track: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA")))
    (row,) = rows_of([one], 1)[0]
    with pytest.raises(EnvironmentProblem, match="not enough memory"):
        memory.in_parts(learner.update, [row], learner, lambda rows: None, tracks_whole=True)


def test_rows_of_one_track_stay_one_batch() -> None:
    """Break seen to fail: cut in the middle, which is two steps of half a batch."""
    a, b = Track("a", 0), Track("b", 0)
    rows = [Row(track, (1,), ((0, 1),)) for track in (a, a, a, b)]
    assert memory.middle(rows, tracks_whole=True) == 3
    assert memory.middle(rows, tracks_whole=False) == 2
    assert memory.middle(rows[:3], tracks_whole=True) == 0


# ---- in a run --------------------------------------------------------------------------------------------------------

GRID = {"methods": ["zero-shot", "icl", "ft", "icl+ft"], "shots": [2], "lr": [3e-3], "updates": [2]}


class Heard:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.notices: tuple[str, ...] = ()

    def begin(self, info) -> None:
        self.notices = info.notices

    def phase(self, text: str) -> None:
        self.said.append(text)

    def row(self, *told) -> None: ...

    def lane(self, *told) -> None: ...

    def end(self, result) -> None: ...


def fit(out: Path, n: int = 12, **settings):
    data = [(e.prompt, e.completion) for e in examples(n)]
    model = tiny("llama", vocab_size=VOCABULARY)
    return fewfit.fit(data, model=model, tokenizer=byte_level(), out=out, **{**GRID, **settings})


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def test_a_run_in_little_memory_says_so_and_gives_the_same(tmp_path, monkeypatch) -> None:
    """Break seen to fail: sizes measured and not used."""
    from fewfit.run import execute

    monkeypatch.chdir(tmp_path)
    usual = fit(tmp_path / "usual")
    assert [one["ended"] for one in record(usual.folder)["sittings"]] == ["done"]
    assert record(usual.folder)["sittings"][0]["told"] == []
    inner, predict, rows_seen = execute.size_passes, StackLearner.score, []

    def sized_small(*args, **kwargs):
        inner(*args, **kwargs)
        rows_seen.clear()
        return Sizes(1, 0, notice="little memory")

    def counted(self, rows):
        rows_seen.append(len(rows))
        return predict(self, rows)

    monkeypatch.setattr(execute, "size_passes", sized_small)
    monkeypatch.setattr(StackLearner, "score", counted)
    heard = Heard()
    less = fit(tmp_path / "less", watch=heard)
    assert "little memory" in heard.said and max(rows_seen) == 1
    assert record(less.folder)["sittings"][0]["told"] == ["little memory"]
    for name in ("predictions.jsonl", "trained.jsonl"):
        assert (usual.folder / name).read_bytes() == (less.folder / name).read_bytes()


@pytest.mark.slow
def test_a_run_that_does_not_fit_can_be_resumed_where_it_does(tmp_path, monkeypatch) -> None:
    """Exit 3, with how to go on; the next session halves. Break seen to fail: the error as a bug with its traceback."""
    monkeypatch.chdir(tmp_path)
    inner, left = StackLearner.score, [15]

    def predict(self, rows):
        left[0] -= 1
        if left[0] <= 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return inner(self, rows)

    monkeypatch.setattr(StackLearner, "score", predict)
    with pytest.raises(EnvironmentProblem, match="does not fit the memory") as told:
        fit(tmp_path / "run")
    assert (told.value.exit_code, told.value.code) == (3, "memory")
    assert record(tmp_path / "run")["sittings"][-1]["ended"] == "memory"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    heard = Heard()
    done = fewfit.resume(
        tmp_path / "run", model=tiny("llama", vocab_size=VOCABULARY), tokenizer=byte_level(), watch=heard
    )
    assert any("the last session ran out of memory: passes are half as large" in notice for notice in heard.notices)
    assert [one["halved"] for one in record(done.folder)["sittings"]] == [0, 1]
    usual = fit(tmp_path / "usual")
    assert (done.folder / "predictions.jsonl").read_bytes() == (usual.folder / "predictions.jsonl").read_bytes()


def test_only_a_sitting_without_a_last_word_halves(tmp_path) -> None:
    """By its end in run.json, and the next one says so. Breaks seen to fail: a stop by signal taken for a death; the
    halvings of earlier sessions forgotten."""
    from fewfit.run import folders
    from fewfit.run.journal import Journal

    def sit(how: str | None) -> Journal:
        fresh = {name: kind() for name, kind in folders.PARTS.items()}
        at = record(tmp_path) if (tmp_path / "run.json").exists() else fresh
        journal = Journal(tmp_path, {key: value for key, value in at.items() if key != "schema"})
        journal.begin()
        if how is not None:
            journal.end(how)
        return journal

    halved = [sit(how).halved for how in ("stopped", None, "failed", None, "memory", "stopped", "done")]
    assert halved == [0, 0, 1, 1, 2, 3, 3]
    assert folders.record(tmp_path)["sittings"][1]["ended"] is None
    sit(None)
    (notice,) = sit("done").notices
    assert notice.startswith(
        "the last session ended without a word (out of memory, or kill -9): passes are 1/16 as large"
    )
    assert sit("done").notices == []


def test_a_sitting_that_died_counts_as_long_as_it_wrote(tmp_path, monkeypatch) -> None:
    """Break seen to fail: what it said when it began, nothing."""
    from fewfit.run import folders, journal, snapshots

    now = [1000.0]
    clock = SimpleNamespace(**{name: getattr(time, name) for name in ("gmtime", "strftime", "strptime")})
    clock.time = clock.monotonic = lambda: now[0]
    clock.gmtime = lambda: time.gmtime(now[0])
    monkeypatch.setattr(journal, "time", clock)
    monkeypatch.setattr(snapshots, "time", clock)

    def sit(seconds: float, how: str | None) -> journal.Journal:
        at = record(tmp_path) if (tmp_path / "run.json").exists() else {}
        one = journal.Journal(tmp_path, {key: value for key, value in at.items() if key != "schema"})
        one.begin()
        store = snapshots.Store(tmp_path / folders.LANES)
        store.open(Track("ft", 0))
        now[0] += seconds
        store.tracks[Track("ft", 0)].snapshot(1, "running", None, LaneState())
        now[0] += 3
        store.close()
        if how is not None:
            one.end(how)
        return one

    sit(40, "stopped")
    sit(20, None)
    now[0] += 5000
    assert sit(10, None).seconds() == 43 + 20 + 13
    assert sit(1, "done").seconds() == 43 + 20 + 10 + 4
    assert record(tmp_path)["seconds"] == 77


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ({}, ": passes are half as large from here on, which"),
        ({"documents": {"n": 3}}, ": layers are run again in the backward from here on, which"),
        ({"asked": {"base_url": {"value": "http://here"}}}, " without a word (out of memory, or kill -9)"),
    ],
)
def test_after_a_death_it_says_what_is_done(tmp_path, kind, words) -> None:
    """Break seen to fail: halved passes promised where there are none."""
    from fewfit.run.journal import Journal

    (notice,) = Journal(tmp_path, {**kind, "sittings": [{"ended": None, "halved": 0}]}).notices
    assert words in notice and ("passes" in notice) == (not kind)


def test_a_helper_that_was_killed_makes_passes_smaller() -> None:
    """The system may have done it, and goes on with whoever is large. Break seen to fail: gone on as before."""
    from fewfit.run.executor import LocalExecutor

    def lost(code: int) -> list[int]:
        on_shrink: list[int] = []
        helper = SimpleNamespace(ended=lambda: code, connection=SimpleNamespace(close=lambda: None), tracks=set())
        helpers = LocalExecutor(None, None, 1)
        helpers._helpers = [helper]
        helpers._lost(helper, SimpleNamespace(tracks=[], shrink_passes=lambda: on_shrink.append(1)))
        return on_shrink

    assert (lost(-9), lost(0), lost(1)) == ([1], [], [])


# ---- flat ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_resident_memory_is_flat_over_a_thousand_steps() -> None:
    """ENGINE rule 14: predictions and updates of two lanes, both optimizers, in several lengths. After 200 steps not
    two megabytes more come to it. Breaks seen to fail: the graphs of every step kept, without what their backward
    frees; the losses of every step kept."""
    lanes = [lane(), lane(optimizer="adafactor", rank=4)]
    learner = opened(tiny("llama"), lanes)
    rng = random.Random(0)
    held = []
    for step in range(1000):
        rows = [random_row(track_of(one), rng, length=rng.choice((24, 32, 40))) for one in lanes]
        learner.score(rows)
        learner.update(rows)
        if step % 100 == 99:
            held.append(resident())
    learner.close()
    assert held[-1] - held[1] < 2 << 20, [f"{value / 2**20:.1f}" for value in held]


def resident() -> int:
    import os

    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
