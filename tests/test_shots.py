"""How many shots: the curve of the model as it is, what `--shots auto` makes of it, and what it must not know."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from fewfit import draw
from fewfit.cli.main import run as command
from fewfit.engine.shots import asked_behind, best, curve, most_shots, sets_of
from fewfit.engine.task import Task, softmax
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import AUTO_SHOTS, Grid, Lane
from fewfit.models.local import Loaded
from fewfit.run import shots
from fewfit.run.material import read
from fewfit.run.prepare import prepare
from fewfit.run.watch import Callbacks
from fewfit.settings import Settings
from tests.models_made import tiny
from tests.streams_made import examples, run_lanes, task_of
from tests.tokenizers_made import byte_level

VOCABULARY = len(byte_level())


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny("llama", vocab_size=VOCABULARY)


# ---- the curve -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 8, 10, 17, 30])
def test_every_example_is_asked_at_every_number_of_shots(n: int) -> None:
    """Break seen to fail: `most_shots` one higher."""
    order = examples(n)
    for k in range(1, most_shots(n) + 1):
        sets = sets_of(order, k)
        assert all(len(one) == k == len({demo.id for demo in one}) for one in sets)
        assert all(any(example not in one for one in sets) for example in order)
        held = [sum(example in one for one in sets) for example in order]
        assert max(held) - min(held) <= (1 if n >= 8 else 0)  # none stands there much oftener


def test_a_set_holds_none_twice() -> None:
    """Nor two of one group. Break seen to fail: the next k, whatever they are."""
    order = [replace(one, group=str(k // 2)) for k, one in enumerate(examples(10))]
    assert all(len({demo.group for demo in some}) == 3 for some in sets_of(order, 3))


def test_the_curve_is_what_whole_prompts_say(model: Any) -> None:
    """Each example behind sets without it, the right choice among all. Breaks seen to fail: an example asked behind
    itself; another example's answer."""
    task = task_of(examples(8), judge="choice")
    order = task.order(0)
    found = curve(model, task, order, (0, 1, 2, 16))
    assert list(found) == [0, 1, 2]
    for k, value in found.items():
        sets = sets_of(order, k)
        told = [[nats(model, task, list(demos), one) for demos in sets if one not in demos] for one in order]
        for mine, theirs in zip(asked_behind(model, task, order, k, lambda: None), told, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-3)
        assert value == pytest.approx(fmean(map(fmean, told)), abs=1e-3)
    assert len(set(found.values())) == 3


def nats(model: Any, task: Task, demos: list[Example], example: Example) -> float:
    """The choices differ in their first token, which is what is read."""
    prompt, choices = task.renderer.prompt(demos, example), task.choices(example)
    with torch.no_grad():
        logp = torch.log_softmax(model(torch.tensor([prompt.ids])).logits[0, -1], dim=-1)
    told = [float(logp[tail[0]]) for tail in task.renderer.continuations(prompt, choices)]
    return min(-math.log(softmax(choices, told)[example.completion]), 5.0)


def test_of_equals_the_fewest() -> None:
    assert best({1: 0.5, 2: 0.4, 4: 0.4, 8: 0.6}) == 2


# ---- what it must not know -------------------------------------------------------------------------------------------


def turned(items: list[Example], ids: set[str]) -> list[Example]:
    other = {"left": "right", "right": "left"}
    return [replace(one, completion=other[one.completion]) if one.id in ids else one for one in items]


def test_no_later_answer_touches_the_choice(model: Any) -> None:
    """Of 30 examples the first 10 are looked at, and the choice of a lane and its score count what comes after.

    Break seen to fail: `looked_at` that gives all.
    """
    items = examples(30)
    ids = [one.id for one in draw.order(items, 0)]
    plain = shots.choose(None, model, task_of(items, judge="choice"))
    assert plain.examples == 10 and set(plain.curve) == {1, 2, 4, 8}
    later = shots.choose(None, model, task_of(turned(items, set(ids[10:])), judge="choice"))
    assert later == plain
    assert shots.choose(None, model, task_of(turned(items, {ids[9]}), judge="choice")).curve != plain.curve


# ---- fit -------------------------------------------------------------------------------------------------------------


def prepared(loaded: Loaded, folder: Path, n: int = 30, **more: Any) -> Any:
    told: dict[str, Any] = {"shots": "auto", "lr": (1e-3,), "updates": (1, 2), "race": False, "metric": "choice"}
    asked = Settings(model=loaded.ref.name or "tiny", out=folder, **{**told, **more})
    rows = [{"prompt": one.prompt, "completion": one.completion} for one in examples(n)]
    return prepare(asked, read(asked, rows), {None: loaded}, Callbacks())


def test_lanes_that_train_have_the_shots_that_are_likeliest(loaded: Loaded, tmp_path: Path) -> None:
    """Lanes that prompt keep all, so that their choice is seen."""
    record = prepared(loaded, tmp_path / "run").record
    (told,) = record["shots"]
    lanes = [Lane.from_json(one) for one in record["lanes"]]
    assert [lane.shots for lane in lanes if lane.kind == "icl"] == list(AUTO_SHOTS)
    assert {lane.shots for lane in lanes if lane.kind == "icl+ft"} == {told["shots"]}
    assert len([lane for lane in lanes if lane.kind == "icl+ft"]) == 2 == len([x for x in lanes if x.kind == "ft"])
    values = {int(k): value for k, value in told["curve"].items()}
    assert told["shots"] == best(values) and told["examples"] == 10
    assert any("tuned with" in notice for notice in record["notices"])
    assert record["asked"]["shots"] == {"value": "auto", "source": "given"}


def test_where_nothing_is_tuned_nothing_is_chosen(loaded: Loaded, tmp_path: Path) -> None:
    record = prepared(loaded, tmp_path / "run", methods=("icl",)).record
    assert record["shots"] == [] and len(record["lanes"]) == len(AUTO_SHOTS)


def test_a_grid_is_narrowed_model_by_model() -> None:
    """Break seen to fail: prompting lanes narrowed, too."""
    grid = Grid.of(shots=AUTO_SHOTS, model=("a", "b"))
    kept = shots.narrowed(grid, {"a": 2, "b": 16})
    assert {(x.model, x.shots) for x in kept.lanes if x.kind == "icl+ft"} == {("a", 2), ("b", 16)}
    assert [x for x in kept.lanes if x.kind != "icl+ft"] == [x for x in grid.lanes if x.kind != "icl+ft"]


def test_what_it_cannot_choose_by_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="29 examples"):
        prepared(loaded, tmp_path / "run", n=29)
    with pytest.raises(UserError, match="with 2 seeds"):
        Settings(model="lab", shots="auto", seeds=2)
    assert not (tmp_path / "run").exists()


# ---- test-time training ----------------------------------------------------------------------------------------------


def test_passes_leave_each_out_once() -> None:
    """Breaks seen to fail: uniform replay; the newest not first."""
    for n in (1, 4, 7):
        targets = [draw.replayed(n, u, seed=0, replay="passes") for u in range(1, 3 * n + 1)]
        assert targets[0] == n
        assert all(sorted(targets[k : k + n]) == list(range(1, n + 1)) for k in range(0, 3 * n, n))
    long = [[draw.replayed(9, u, seed=seed, replay="passes") for u in range(1, 19)] for seed in (0, 1)]
    assert long[0] != long[1] and long[0][:9] != long[0][9:]
    assert [draw.replayed(9, u, seed=0, replay="passes", slot=1) for u in range(1, 10)] != long[0][:9]


def test_test_time_training_asks_each_example_behind_all_others(model: Any) -> None:
    """In a stream: of those that were predicted. Break seen to fail: balanced replay."""
    n = 5
    (lane,) = Grid.of(methods=("ttt",), lr=(1e-3,), updates=(n,), n=n).lanes
    assert (lane.kind, lane.shots, lane.replay) == ("icl+ft", n, "passes")
    assert lane.name == f"icl{n}+ft-lr1e-3-u{n}-passes"
    sink = run_lanes(model, task_of(examples(n)), [lane])
    ids = [one.id for one in draw.order(examples(n), 0)]
    for i in range(1, n + 1):
        mine = [row["ids"] for row in sink.updates if row["i"] == i]
        assert all(sorted(row) == sorted(ids[:i]) for row in mine)
        assert {row[-1] for row in mine[:i]} == set(ids[:i]) and len(mine) == n
    assert len({tuple(row["ids"]) for row in sink.updates if row["i"] == n}) == n  # in ever new orders


def test_its_preset_runs_it_beside_the_others() -> None:
    grid = Settings(model="lab", preset="ttt").lanes((None,), 12)
    shown = [(lane.kind, lane.shots, lane.replay) for lane in grid.lanes if lane.kind == "icl+ft"]
    assert shown == [("icl+ft", 4, "balanced")] * 2 + [("icl+ft", 12, "passes")] * 2
    assert {lane.kind for lane in grid.lanes} == {"zero-shot", "icl", "ft", "icl+ft"}
    with pytest.raises(UserError, match="unknown method"):
        Grid.of(methods=("tta",))


@pytest.mark.parametrize("more", [["--shots", "auto"], ["--methods", "icl,ttt"]])
def test_documents_are_no_stream(more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = [{"text": f"Lake {k} is deep."} for k in range(3)]
    questions = [{"prompt": f"Is lake {k} deep?", "completion": "yes"} for k in range(3)]
    for name, rows in (("documents", documents), ("questions", questions)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [str(tmp_path / "documents.jsonl"), "--probe", str(tmp_path / "questions.jsonl")]
    assert command(["fit", *files, "--model", "lab", *more, "--out", str(tmp_path / "run")]) == 2
    assert "with documents" in capsys.readouterr().err
