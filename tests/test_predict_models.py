"""Predicting with a model that is somebody's own: it comes back as it came, and another one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from bundles_made import FULL, ICL, LETTERS, LORA, free, labelled, made, queries
from folders_made import VOCABULARY, model_folder
from models_made import tiny
from safetensors.torch import load

from fewfit import predict
from fewfit.engine.mixed import read_adapter
from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.predict import Predictor

torch.set_num_threads(1)


def snapshot(model: Any) -> dict[str, Any]:
    return {
        "weights": {key: value.clone() for key, value in model.state_dict().items()},
        "modules": {name: (id(module), module.training) for name, module in model.named_modules()},
        "flags": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "attributes": set(vars(model)),
        "generation": id(model.generation_config),
        "hooks": {name: len(module._forward_pre_hooks) for name, module in model.named_modules()},
    }


def assert_unchanged(model: Any, before: dict[str, Any]) -> None:
    after = snapshot(model)
    for key, value in before.pop("weights").items():
        assert torch.equal(value, after["weights"][key])
    after.pop("weights")
    assert after == before


@pytest.mark.parametrize("lane", [ICL, LORA, FULL], ids=lambda lane: lane.name)
def test_a_model_handed_in_comes_back_unchanged(
    lane: Lane, loaded: local.Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after an exception. Break seen to fail: the adapter left on; requires_grad and modes not put back."""
    trained = made(loaded, lane, free())
    trained.save(tmp_path / "bundle")
    wanted = [trained.answer(query) for query in queries("match", 4)]
    model = tf.AutoModelForCausalLM.from_pretrained(loaded.ref.name, dtype=torch.float32)
    model.train()
    model.model.layers[0].eval()
    model.lm_head.requires_grad_(False)
    before = snapshot(model)
    predictor = Predictor(tmp_path / "bundle", model=model, device="cpu")
    assert [row["prediction"] for row in predictor.predict(queries("match", 4))] == wanted
    assert_unchanged(model, dict(before))
    assert [row["prediction"] for row in predictor.predict(queries("match", 4))] == wanted
    monkeypatch.setattr(predict.predictor, "greedy", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predictor.predict(queries("match", 4))
    assert_unchanged(model, dict(before))


def test_a_model_handed_in_is_looked_at_afresh(loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: what was computed for the demonstrations kept from one call to the next."""
    made(loaded, ICL, labelled(LETTERS), metric="choice", choices=LETTERS).save(tmp_path / "bundle")
    model = tf.AutoModelForCausalLM.from_pretrained(loaded.ref.name, dtype=torch.float32)
    predictor = Predictor(tmp_path / "bundle", model=model)
    first = predictor.predict(queries("choice", 2))
    with torch.no_grad():
        model.model.layers[0].self_attn.v_proj.weight.mul_(-1)
    fresh = Predictor(tmp_path / "bundle", model=model).predict(queries("choice", 2))
    assert predictor.predict(queries("choice", 2)) == fresh != first


def test_another_model_is_refused(tmp_path: Path) -> None:
    """Break seen to fail: the digest of an object not compared."""
    trained = made("llama", LORA, free())
    trained.save(tmp_path / "bundle")
    with pytest.raises(UserError, match="give model="):
        Predictor(tmp_path / "bundle")
    with pytest.raises(UserError, match="its weights differ"):
        Predictor(tmp_path / "bundle", model=tiny("llama", VOCABULARY, seed=1))
    same = tiny("llama", VOCABULARY)
    wanted = [trained.answer(query) for query in queries("match", 3)]
    assert [
        row["prediction"] for row in Predictor(tmp_path / "bundle", model=same).predict(queries("match", 3))
    ] == wanted


def test_a_base_that_changed_on_disk_is_refused(tmp_path: Path) -> None:
    """Break seen to fail: the digest of the folder not compared."""
    at = model_folder(tmp_path / "base")
    made(local.load(at, device="cpu"), LORA, free()).save(tmp_path / "bundle")
    tiny("llama", VOCABULARY, seed=1).save_pretrained(at)
    with pytest.raises(UserError, match="its contents differ"):
        Predictor(tmp_path / "bundle")


@pytest.mark.parametrize("other", ["qwen3", "gpt2"])
def test_an_adapter_that_does_not_fit_leaves_nothing_behind(other: str, loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: the adapter not taken off again."""
    made(loaded, LORA, free()).save(tmp_path / "bundle")
    model = tiny(other, VOCABULARY)
    before = snapshot(model)
    predictor = Predictor(tmp_path / "bundle", model=model)
    with pytest.raises(UserError, match="does not fit the model"):
        predictor.predict(["code of kiwi"])
    assert_unchanged(model, before)


@pytest.mark.parametrize("damage", ["cut", "gone", "pickle"])
def test_an_adapter_that_cannot_be_read_is_said(damage: str, loaded: local.Loaded, tmp_path: Path) -> None:
    """Breaks seen to fail: safetensors' own error; a pickle taken in its place."""
    made(loaded, LORA, free()).save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "adapter_model.safetensors"
    content = path.read_bytes()
    path.unlink() if damage != "cut" else path.write_bytes(content[: len(content) // 2])
    if damage == "pickle":
        torch.save(load(content), path.with_suffix(".bin"))
    with pytest.raises(UserError, match="the adapter cannot be read"):
        Predictor(tmp_path / "bundle", model=tiny("llama", VOCABULARY)).predict(["code of kiwi"])
    with pytest.raises(UserError, match="the adapter cannot be read"):
        read_adapter(tmp_path / "bundle", tiny("llama", VOCABULARY))


def test_a_hub_model_is_fetched_at_its_commit(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: the revision asked for, which may have moved on, fetched in place of the commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = model_folder(tmp_path / "snapshots" / commit)
    asked: list[Any] = []

    def fetch(name: str, *, revision: str | None, **_: Any) -> str:
        asked.append((name, revision))
        return str(home)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    made(local.load("someone/tiny", revision="main", device="cpu"), LORA, free()).save(tmp_path / "bundle")
    Predictor(tmp_path / "bundle", device="cpu")
    assert asked == [("someone/tiny", "main"), ("someone/tiny", commit)]
