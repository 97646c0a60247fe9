"""`fit --augment`: lanes that learn from inferences, too, and that nothing leaks through them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fewfit
from fewfit import draw
from fewfit.audit import audit
from fewfit.augment import making
from fewfit.errors import EnvironmentProblem, Interrupted, UserError
from fewfit.examples.example import Example
from fewfit.grid import Grid, Lane
from fewfit.predictions import read
from fewfit.run import inferences
from fewfit.run.inspection import sequence
from fewfit.writing import Asked
from tests import endpoint_made as made
from tests.models_made import tiny
from tests.streams_made import examples, run_lanes, task_of
from tests.test_augment import Scripted
from tests.tokenizers_made import byte_level

VOCABULARY = len(byte_level())
GRID = {"methods": "ft", "lr": 3e-3, "updates": 4, "chat": "off", "metric": "exact", "race": False}


def knowing(one: Asked) -> str:
    """Whatever the prompt holds shows in the answer, so that a leak is seen."""
    text = one.before + one.rest
    known = one.rest.split("\n")[0].strip()
    return f" seen {draw.number(text) % 10**6} => {known[-9:]}\n- other {draw.number(known) % 10**6} => seen\n\n"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    writer = Scripted(knowing)
    monkeypatch.setattr(making, "writer_of", lambda loaded: writer)
    return writer


def fit(items: Sequence[Example], out: Path, **more: Any) -> fewfit.Run:
    model = (tiny("llama", vocab_size=VOCABULARY), byte_level())
    return fewfit.fit(list(items), model=model, out=out, **{**GRID, "augment": "local,global", **more})


def test_an_address_with_a_password_is_written_nowhere(tmp_path: Path) -> None:
    """Break seen to fail: refused after it stood in run.json."""
    out = tmp_path / "run"
    with pytest.raises(UserError, match="--augment-url holds more than an address"):
        fit(examples(8), out, augment_with="m", augment_url="http://me:secret@host/v1")
    assert not out.exists()


def trained(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trained.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_with_inferences_passes_the_audit_and_trains_on_them(scripted: Scripted, tmp_path: Path) -> None:
    """Groups among the examples. Break seen to fail: a row that names the last alone of what it was made from."""
    items = [replace(one, group=f"g{k % 3}" if k % 2 else None) for k, one in enumerate(examples(16))]
    out = tmp_path / "run"
    run = fit(items, out, methods="ft,icl+ft", shots=2, augment="local,local+global", seeds=2)
    names = [lane["name"] for lane in run.lanes]
    assert names[:3] == ["ft-lr3e-3-u4", "ft-lr3e-3-u4-local", "ft-lr3e-3-u4-local+global"] and len(names) == 6
    updates, kept = trained(out), inferences.read(out)
    assert audit(items, read(out), updates, inferences=kept) == []
    used = {lane: set() for lane in names}
    for row in updates:
        for id, made_from in row.get("inferred", {}).items():
            used[row["lane"]].add(len(made_from))
            assert row["ids"][-len(made_from) :] == made_from
            assert all(place_of(items, row["seed"], one) <= row["i"] for one in made_from), id
    assert used["ft-lr3e-3-u4"] == set() and used["ft-lr3e-3-u4-local"] == {1}
    assert used["ft-lr3e-3-u4-local+global"] == {1, 4, 8, 12}
    # each break of the evidence is told
    at = next(k for k, row in enumerate(updates) if "inferred" in row and len(next(iter(row["inferred"].values()))) > 1)
    (made_from,) = updates[at]["inferred"].values()
    early = {**updates[at], "i": 2}
    assert any("predicted only as row" in line for line in audit(items, read(out), [early], inferences=kept))
    fewer = {**updates[at], "inferred": {next(iter(updates[at]["inferred"])): made_from[:1]}}
    assert any("is said to be made from" in line for line in audit(items, read(out), [fewer], inferences=kept))
    if made_from:
        inside = {**updates[at], "ids": [made_from[0], *updates[at]["ids"]]}
        assert any("in the prompt of what was made" in line for line in audit(items, read(out), [inside]))


def test_another_model_may_infer_what_a_lane_learns_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One behind an endpoint, which is asked once. Breaks seen to fail: the model itself asked all the same; it is not
    told how many requests may go out at once, or how many tokens may be spent."""
    pytest.importorskip("openai")
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))
    items, out = examples(8), tmp_path / "run"
    with made.serving(lambda prompt: " served => right\n\n", paths=("/completions",), seconds=0.02) as server:
        big = {"augment": "local", "augment_with": "big", "augment_url": server.url, "concurrency": 1}
        with pytest.raises(EnvironmentProblem, match="the budget of 30 tokens is spent"):
            fit(items, tmp_path / "stopped", **big, max_tokens=30)
        run = fit(items, out, **big, max_tokens=100_000)
        assert server.most_at_once == 1
        asked = server.calls
        fewfit.resume(out, model=tiny("llama", vocab_size=VOCABULARY), tokenizer=byte_level())
        assert server.calls == asked > 0
    rows = [row for one in inferences.read(out) for row in one["rows"]]
    assert rows and {row["prompt"] for row in rows} == {"served"}
    record = json.loads((out / "run.json").read_text())
    assert record["augmenter"] == {"name": "big", "url": server.url}
    assert audit(items, read(out), trained(out), inferences=inferences.read(out)) == [] and run.lanes


@pytest.mark.parametrize("given", [{"augment_url": "http://localhost:1/v1"}, {"augment_with": "big", "augment": None}])
def test_an_augmenter_that_has_nothing_to_do_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--augment-"):
        fit(examples(8), tmp_path / "run", **given)


def place_of(items: Sequence[Example], seed: int, id: str) -> int:
    return [one.id for one in draw.order(items, seed)].index(id) + 1


def test_changing_an_answer_changes_nothing_before_it(scripted: Scripted, tmp_path: Path) -> None:
    """All rows before j are byte-equal, predictions and what was trained on. Break seen to fail: all examples as the
    context of each part."""
    items, j = examples(16), 9
    order = [one.id for one in draw.order(items, 0)]
    other = {"left": "right", "right": "left"}
    changed = [replace(one, completion=other[one.completion]) if one.id == order[j - 1] else one for one in items]
    for name, some in (("a", items), ("b", changed)):
        fit(some, tmp_path / name, augment="local,global,local+global", choices="none")
    for file in ("predictions.jsonl", "trained.jsonl"):
        before, after = ((tmp_path / name / file).read_text().splitlines() for name in "ab")
        early = [k for k, line in enumerate(before) if json.loads(line)["i"] < j]
        assert early and [before[k] for k in early] == [after[k] for k in early]
    late = [row["nll"] for row in read(tmp_path / "a")][-4:], [row["nll"] for row in read(tmp_path / "b")][-4:]
    assert late[0] != late[1]


def test_unique_random_answers_are_never_predicted(scripted: Scripted, tmp_path: Path) -> None:
    items = [Example(str(k), f"river {k}", f"{draw.number('secret', k) % 10**9:09d}") for k in range(1, 25)]
    fit(items, tmp_path / "run", augment="local+global", updates=6)
    rows = read(tmp_path / "run")
    assert len(rows) == 48 and not any(row["correct"] for row in rows)


def test_what_is_inferred_knows_only_its_part(scripted: Scripted, tmp_path: Path) -> None:
    items = examples(16)
    fit(items, tmp_path / "run", augment="local+global", final="refit", seeds=2)
    kept = inferences.read(tmp_path / "run")
    lengths = [(one["seed"], len(one["made_from"])) for one in kept if one["strategy"] == "global"]
    assert lengths == [(0, 4), (0, 8), (0, 12), (0, 16), (1, 4), (1, 8), (1, 12)], "all of them for refit alone"
    contexts = [text.rsplit("Known:\n", 1)[1] for text in scripted.asked if "and the others" in text]
    for one, number in zip(lengths, [0, 4, 12, 24, 40, 44, 52], strict=True):
        ids = {example.id for example in draw.order(items, one[0])[: one[1]]}
        known = [example for example in items if example.id in ids]
        assert all(f"- {example.prompt} => {example.completion}" in contexts[number] for example in known)
        assert contexts[number].count(" => ") == len(known) + 1


SCRIPT = """
import sys
from pathlib import Path
from fewfit.augment import making
from tests.streams_made import examples
from tests.test_augment import Scripted
from tests import test_augment_fit as tests
making.writer_of = lambda loaded: Scripted(tests.knowing, slow=0.02)
making.BLOCK = 4
import fewfit
if sys.argv[2] == "fit":
    tests.fit(examples(16), Path(sys.argv[1]), augment="local+global")
else:
    from tests.models_made import tiny
    from tests.tokenizers_made import byte_level
    fewfit.resume(sys.argv[1], model=tiny("llama", vocab_size=tests.VOCABULARY), tokenizer=byte_level())
"""


@pytest.mark.slow
def test_killed_while_inferring_and_resumed_it_is_the_run_never_killed(scripted: Scripted, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    fit(examples(16), whole, augment="local+global")
    out = tmp_path / "killed"
    kept = out / inferences.FILE
    goal = [1, 9, 17, 10_000]
    for n, lines in enumerate(goal):
        command = [sys.executable, "-c", SCRIPT, str(out), "fit" if n == 0 else "resume"]
        process = subprocess.Popen(command, env=os.environ)
        while process.poll() is None:
            if kept.exists() and kept.read_bytes().count(b"\n") >= lines:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        process.wait()
    assert process.returncode == 0
    for file in ("predictions.jsonl", "trained.jsonl"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    ours, theirs = ([{**one, "cost": None} for one in inferences.read(folder)] for folder in (out, whole))
    assert ours == theirs  # but for the seconds that it took


def test_inspect_shows_the_inferred_row(scripted: Scripted, tmp_path: Path) -> None:
    items = examples(16)
    fit(items, tmp_path / "run", augment="local")
    row = next(row for row in trained(tmp_path / "run") if "inferred" in row)
    rendered, loss, _ = sequence(
        tmp_path / "run", row["lane"], row["i"], row["update"], row["seed"], tokenizer=byte_level()
    )
    (id,) = row["inferred"]
    kept = {one["id"]: one for part in inferences.read(tmp_path / "run") for one in part["rows"]}
    assert kept[id]["prompt"] in rendered.text and loss


def test_lanes_with_inferences_stand_beside_those_without() -> None:
    grid = Grid.of(methods=("icl", "ft"), shots=(2,), lr=(1e-3,), updates=(1, 5), augment=("local", "global+local"))
    assert grid.names == ("icl-2", "ft-lr1e-3-u1", "ft-lr1e-3-u5", "ft-lr1e-3-u5-local", "ft-lr1e-3-u5-local+global")
    assert Lane.from_json(grid.lanes[-1].as_json()) == grid.lanes[-1]
    with pytest.raises(UserError, match="no lane that would train on inferences"):
        Grid.of(methods=("ft",), updates=(1,), augment=("local",))
    with pytest.raises(UserError, match="local, global, local"):
        Grid.of(augment=("document",))


def test_inferences_that_cannot_be_trained_on_are_left_out() -> None:
    task = task_of(examples(8), max_length=64)
    assert inferences.fits(task, Example("x", "short", "left"))
    assert not inferences.fits(task, Example("x", "long " * 80, "left"))
    assert not inferences.fits(task, Example("x", f"holds {task.renderer.end_text} inside", "left"))


def test_a_signal_between_two_blocks_stops_it(scripted: Scripted, tmp_path: Path) -> None:
    task = task_of(examples(16))

    def stopped() -> None:
        raise Interrupted("stopped", exit_code=130)

    (tmp_path / "run").mkdir()
    wanted = inferences.parts([Lane(lr=1e-3, updates=2, augment=("local",))], task, [0], False)
    with pytest.raises(Interrupted):
        inferences.complete(tmp_path / "run", None, None, task, wanted, stopped)  # type: ignore[arg-type]
    lanes = [Lane(lr=1e-3, updates=2, augment=("local",))]
    run_lanes(tiny("llama", vocab_size=VOCABULARY), task, lanes)  # without any, a lane learns from the examples
