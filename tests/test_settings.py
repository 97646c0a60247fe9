"""One record of what may be asked: checked where it is made, and where each value comes from."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import fewfit
from fewfit.errors import UserError
from fewfit.grid import Grid, Lane
from fewfit.plan.planning import plan
from fewfit.settings import Settings
from tests.models_made import tiny
from tests.streams_made import examples
from tests.tokenizers_made import byte_level

LANES = [Lane(), Lane(shots=2), Lane(shots=2, lr=3e-3, updates=2, loss="last-answer")]
ROWS = [(one.prompt, one.completion) for one in examples(10)]


@pytest.mark.parametrize("grid", [LANES, tuple(LANES), Grid(tuple(LANES))])
def test_lanes_that_are_spelled_out_are_the_lanes_that_run(grid: Any, tmp_path, monkeypatch) -> None:
    """Break seen to fail: the quick grid beside them."""
    monkeypatch.chdir(tmp_path)
    model = tiny("llama", vocab_size=len(byte_level()))
    run = fewfit.fit(ROWS, (model, byte_level()), grid=grid, out="run", budget="1s")
    assert {lane["name"] for lane in run.lanes} == {lane.name for lane in LANES}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["asked"]["grid"]["value"] == [x.name for x in LANES]
    assert len(run.bundle.predict(["river 3"])) == 1


def test_a_grid_is_for_each_model_but_for_lanes_that_name_theirs() -> None:
    several = Settings(model=["a", "b"], grid=[Lane(), Lane(shots=2, model="b")])
    assert several.lanes(("a", "b")).names == ("zero-shot@a", "zero-shot@b", "icl-2@b")
    with pytest.raises(UserError, match="a lane of c"):
        Settings(model=["a", "b"], grid=[Lane(model="c")]).lanes(("a", "b"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"grid": LANES, "shots": [4]}, "grid= and shots= together"),
        ({"grid": ["icl-4"]}, "a grid that holds a str"),
        ({"grid": []}, "no lane"),
        ({"dtype": "float8"}, "--dtype float8"),
        ({"budget": -1}, "--budget -1"),
        ({"seeds": 0}, "--seeds 0"),
        ({"template": "Q: {prompt}"}, "--template has no {completion}"),
        ({"model": ["x/a", "y/a"]}, "two models called a"),
        ({"model": None}, "no model"),
        ({"quantize": "nf4", "tune": "full"}, "--quantize nf4 with --tune full"),
        ({"grid": [Lane(model="other")]}, "a lane of other, and one model"),
        ({"model": ["x/a", "y/b"], "grid": [Lane(model="c")]}, "a lane of c"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_said(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Settings(**{"model": "lab", **settings})


@pytest.mark.parametrize(
    ("lane", "says"),
    [
        ({"loss": "all"}, "loss 'all'; choose among every-answer, last-answer"),
        ({"lr": 1e-3, "updates": 1, "optimizer": "sgd"}, "optimizer 'sgd'"),
        ({"shots": 2.5}, "shots 2.5; give a whole number"),
        ({"rank": True}, "rank True"),
        ({"lr": "1e-3", "updates": 1}, "lr '1e-3'; give a number"),
        ({"lr": 1e-3, "updates": 1, "tune": "full", "layers": "values"}, "layers values in a lane that tunes"),
        ({"lr": 1e-3, "updates": 1, "tune": "full", "rank": 64}, "rank 64 in a lane that tunes the whole"),
    ],
)
def test_a_lane_that_is_none_is_refused(lane: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Lane(**lane)


def test_two_models_are_no_model_and_its_tokenizer() -> None:
    one, other = tiny("llama"), tiny("gpt2")
    assert Settings(model=(one, other)).several_models and not Settings(model=(one, byte_level())).several_models


def test_the_record_is_frozen_and_says_where_each_value_comes_from() -> None:
    settings = Settings(model="lab", preset="paper", lr=[1e-5], chat="auto", order="file")
    with pytest.raises(FrozenInstanceError):
        settings.chat = "off"  # type: ignore[misc]
    sources = {name: one["source"] for name, one in settings.as_json().items()}
    wanted = {"lr": "given", "shots": "preset paper", "rank": "default", "chat": "default", "order": "given"}
    assert {name: sources[name] for name in wanted} == wanted
    assert json.dumps(settings.as_json(), allow_nan=False)


def test_settings_hold_what_cannot_be_compared(tmp_path, monkeypatch) -> None:
    """A frame as a test set, a model as an object, a function. Break seen to fail: values compared with defaults."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})
    kept = Settings(model=tiny("llama"), test=frame, metric=lambda p, e: 1.0).as_json()
    assert [kept[name]["source"] for name in ("model", "test", "metric")] == ["given"] * 3
    assert json.dumps(kept, allow_nan=False)


def test_one_record_serves_fit_and_plan(tmp_path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in ROWS))
    settings = Settings(model="lab", grid=LANES, chat="off")
    made = plan(str(data), settings=settings, device="cpu")
    assert [lane.name for lane in made.lanes] == [lane.name for lane in LANES]
    run = fewfit.fit(str(data), settings=settings, out=tmp_path / "run", device="cpu")
    assert len(run.lanes) == 3


def test_one_pattern_is_one_pattern() -> None:
    """Break seen to fail: a text was taken for as many patterns as it has letters."""
    assert Settings(model="lab", answer_pattern="Answer: (.+)").answer_patterns == ("Answer: (.+)",)
    assert Settings(model="lab", answer_pattern=["a", "b"]).answer_patterns == ("a", "b")


def test_a_preset_delivers_nothing_where_there_is_nothing_to_deliver() -> None:
    """Break seen to fail: "leave it out" of what nobody had given."""
    lanes = Settings(model="lab", preset="paper", use_shots=0).lanes((None,)).lanes
    assert {lane.deliver for lane in lanes if lane.shots and lane.trains} == {None}
