"""Loading models: what comes back, and one line for everything that cannot be loaded."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from folders_made import byte_tokenizer, model_folder
from huggingface_hub import errors as hub
from models_made import NAMES, attention, tiny

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.models import local

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(made, tmp_path / "tiny"))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_comes_back_equal(name: str, tmp_path: Path) -> None:
    loaded = local.load(model_folder(tmp_path / name, name), device="cpu")
    fresh = tiny(name, dtype=torch.float32)
    ids = torch.arange(3, 40).unsqueeze(0)
    assert torch.equal(loaded.model(ids).logits, fresh(ids).logits)
    assert loaded.attention == attention(name), "the backend that is recorded is the one that is used"
    assert loaded.dtype == "float32"
    assert not loaded.model.training
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("Grüße\n")) == "Grüße\n"


def test_dtype_auto_is_exact_on_a_cpu(tmp_path: Path) -> None:
    """Break seen to fail: the model's own dtype taken on a CPU too."""
    at = model_folder(tmp_path / "half", dtype=torch.bfloat16)
    assert local.load(at, device="cpu").dtype == "float32"
    assert local.load(at, device="cpu", dtype="bfloat16").dtype == "bfloat16"


def test_only_a_tokenizer_or_a_config(folder: Path) -> None:
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    loaded = local.load(folder, tokenizer_only=True)
    assert loaded.model is None
    assert loaded.tokenizer("x")["input_ids"]
    config, tokenizer = local.load_config_and_tokenizer(folder)
    assert (config.hidden_size, len(tokenizer)) == (48, 300)


def test_the_digest_sees_every_weight_file_and_setting(folder: Path) -> None:
    """Break seen to fail: names and sizes hashed, contents not."""
    first = local.load(folder, tokenizer_only=True).ref.digest
    assert local.load(folder, tokenizer_only=True).ref.digest == first
    (folder / "README.md").write_text("notes are not the model")
    assert local.load(folder, tokenizer_only=True).ref.digest == first
    weights = next(folder.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert local.load(folder, tokenizer_only=True).ref.digest != first


def test_an_object_is_told_by_its_weights() -> None:
    """Break seen to fail: the digest taken of the config alone."""
    model = tiny("llama")
    first = local.wrap(model, byte_tokenizer()).ref
    assert first.digest == local.wrap(tiny("llama"), byte_tokenizer()).ref.digest
    assert first.folder is None
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.add_(1e-3)
    assert local.wrap(model, byte_tokenizer()).ref.digest != first.digest


def test_an_object_finds_its_tokenizer_by_its_name(folder: Path) -> None:
    model = tf.AutoModelForCausalLM.from_pretrained(folder)
    loaded = local.wrap(model)
    assert loaded.tokenizer.encode("red") == byte_tokenizer().encode("red")
    assert loaded.ref.folder == str(folder)
    with pytest.raises(UserError, match="give tokenizer"):
        local.wrap(tiny("llama"))


def test_an_object_with_adapters_is_refused() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(tiny("llama"), LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(UserError, match="carries adapters"):
        local.wrap(model, byte_tokenizer())
    with pytest.raises(UserError, match="give a name or a transformers model"):
        local.wrap(torch.nn.Linear(2, 2))


# ---- refusals ------------------------------------------------------------------------------------------------------


def refusal(name: Any, **settings: Any) -> str:
    with pytest.raises(UserError) as told:
        local.load(name, device="cpu", **settings)
    assert "\n" not in str(told.value)
    assert told.value.hint
    return str(told.value)


def test_a_folder_that_is_not_there_names_what_was_tried(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refusal(tmp_path / "none")
    assert "looked for" in refusal("./none")
    assert "looked for" in refusal("a/b/c")
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(tmp_path / "file")
    assert "no model is named" in refusal("")


def test_a_folder_without_a_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)
    (folder / "adapter_config.json").write_text("{}")
    assert "give the base model" in refusal(folder)


def test_pickles_are_refused_and_never_read(folder: Path) -> None:
    """Break seen to fail: the check in refuse_folder taken away."""
    next(folder.glob("*.safetensors")).unlink()
    assert "no safetensors" in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle that nobody opens")
    said = refusal(folder)
    assert "safetensors only" in said
    assert "convert" in said


def test_missing_parts_of_the_weights_are_named(folder: Path) -> None:
    """Break seen to fail: one safetensors file taken for all of them."""
    parts = {f"layer.{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    (folder / "model.safetensors").rename(folder / parts["layer.1"])
    (folder / local.INDEX).write_text(json.dumps({"weight_map": parts}))
    assert f"lacks 1 of the files that {local.INDEX} names, model-00002-of-00002.safetensors first" in refusal(folder)


@pytest.mark.parametrize("kept", [["config.json"], []])
def test_a_folder_of_gguf_files_is_told_to_name_one(kept: list[str], tmp_path: Path) -> None:
    """Break seen to fail: told to convert pickles, or that a config is lacking."""
    for name in (*kept, "b-Q8_0.gguf", "a-Q4_K_M.GGUF"):
        (tmp_path / name).write_text("{}")
    assert f"--model {tmp_path}/a-Q4_K_M.GGUF" in refusal(tmp_path)


def test_code_from_the_folder_is_never_run(folder: Path) -> None:
    """Break seen to fail: trust_remote_code=True for the config."""
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "homemade"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    assert "transformers supports itself" in refusal(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (lambda: tf.T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2), "encoder-decoder model (t5)"),
        (lambda: tf.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2), "(bert)"),
        (lambda: tf.BertConfig(architectures=["BertForMaskedLM"]), "(bert, BertForMaskedLM)"),
        (lambda: tf.LlamaConfig(architectures=["LlamaForSequenceClassification"]), "LlamaForSequenceClassification"),
        (lambda: tf.ViTConfig(), "(vit)"),
    ],
)
def test_models_that_are_not_causal_are_refused_by_name(folder: Path, config: Any, words: str) -> None:
    """Break seen to fail: the masked-model check taken out lets bert pass."""
    config().save_pretrained(folder)
    assert words in refusal(folder)


def test_a_missing_or_damaged_tokenizer_is_named(folder: Path) -> None:
    """Break seen to fail: the check of files taken out (transformers then makes an empty tokenizer up)."""
    (folder / "tokenizer.json").write_text("{")
    assert "tokenizer cannot be read" in refusal(folder)
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer" in refusal(folder)


def test_damaged_weights_are_named(folder: Path) -> None:
    weights = next(folder.glob("*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    assert "fetch it again" in refusal(folder)


def test_weights_that_do_not_fit_the_config_are_named(folder: Path) -> None:
    """Break seen to fail: missing keys not looked at (a layer of random weights is then made up)."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    assert "lacks 9 weights" in refusal(folder)
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 81}))
    assert "does not fit its config.json" in refusal(folder)


def test_settings_are_checked(folder: Path) -> None:
    assert "one of: auto, float32" in refusal(folder, dtype="fp32")
    assert "only nf4" in refusal(folder, quantize="int8")
    with pytest.raises(UserError, match="one of: auto, cpu"):
        local.load(folder, device="gpu")
    with pytest.raises(UserError, match="no --revision"):
        local.load(folder, revision="main")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="torch finds none"):
            local.load(folder, device="cuda")


def test_nf4_names_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "fewfit[nf4]" in refusal(folder, quantize="nf4")


def test_a_bundled_name_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fewfit.models.installed.bundled_folder", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert "does not hold the bundled model 'lab'" in refusal("lab")


def test_a_bundled_name_is_a_folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewfit.models.installed.bundled_folder", lambda name: made)
    ref = local.load("lab", device="cpu").ref
    assert (ref.name, ref.folder, ref.short_name) == ("lab", str(made), "lab")


def test_a_folder_that_holds_no_model_does_not_hide_a_bundled_one(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As `lab/` of this repository. Break seen to fail: any folder of the name comes first."""
    monkeypatch.setattr("fewfit.models.installed.bundled_folder", lambda name: made)
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    assert local.resolve("lab", None, weights=True)[1] == made
    shutil.copytree(made, tmp_path / "lab", dirs_exist_ok=True)
    assert local.resolve("lab", None, weights=True)[1] == tmp_path / "lab"


# ---- the hub -------------------------------------------------------------------------------------------------------


class Answer:
    """As much of an HTTP answer as the client's errors look at."""

    headers: dict[str, str] = {}
    request = None
    status_code = 404


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (lambda: hub.RepositoryNotFoundError("404", response=Answer()), UserError, "no such model"),
        (lambda: hub.GatedRepoError("403", response=Answer()), EnvironmentProblem, "is gated"),
        (lambda: hub.RevisionNotFoundError("404", response=Answer()), UserError, "no revision"),
        (lambda: hub.LocalEntryNotFoundError("offline"), EnvironmentProblem, "cache does not hold it"),
        (lambda: hub.OfflineModeIsEnabled("offline"), EnvironmentProblem, "cache does not hold it"),
        (lambda: hub.HfHubHTTPError("500", response=Answer()), EnvironmentProblem, "cache does not hold it"),
        (lambda: hub.HFValidationError("bad"), UserError, "neither a folder nor"),
        (lambda: OSError(28, "No space left on device"), EnvironmentProblem, "No space left"),
    ],
)
def test_the_hubs_errors_are_one_line(raised: Any, kind: type, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: GatedRepoError not caught before RepositoryNotFoundError, which it is one of."""

    def refuse(*_: Any, **__: Any) -> None:
        raise raised()

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(kind) as told:
        local.load("someone/model", revision="v9")
    assert words in str(told.value)
    assert "someone/model" in str(told.value)


def test_offline_a_name_that_was_never_fetched_is_the_networks_matter(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem) as told:
        local.load("someone/never-fetched")
    assert told.value.exit_code == 3


def test_a_hub_model_is_pinned_to_its_commit(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: of_folder's digest taken for snapshots too."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = shutil.copytree(made, tmp_path / "snapshots" / commit)
    asked: dict[str, Any] = {}

    def fetch(name: str, **settings: Any) -> str:
        asked.update(settings, name=name)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    loaded = local.load("someone/tiny", revision="v1", device="cpu")
    assert loaded.ref == local.ModelRef("someone/tiny", "v1", None, commit)
    assert "*.safetensors" in asked["allow_patterns"]
    assert not any("bin" in pattern or "pt" in pattern for pattern in asked["allow_patterns"])
    local.load_config_and_tokenizer("someone/tiny")
    assert "*.safetensors" not in asked["allow_patterns"], "a plan fetches no weights"


def test_an_earlier_loads_commit_is_fetched_not_what_the_branch_is_now(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break seen to fail: `main` as it is now, so that no run resumes once somebody has edited the model's card."""

    def fetch(name: str, revision: str | None, weights: bool) -> Path:
        return Path(shutil.copytree(made, tmp_path / (revision or "newest"), dirs_exist_ok=True))

    monkeypatch.setattr("fewfit.models.hub.fetch", fetch)
    assert local.resolve("a/b", None, weights=True, digest="0123abc")[0] == local.ModelRef("a/b", None, None, "0123abc")
    assert local.resolve("a/b", "v1", weights=True, digest="0123abc")[0].revision == "v1"
    assert local.load("a/b", device="cpu", digest="files:0123abc").ref.digest == "newest"
    local.load_config_and_tokenizer("a/b", digest="4567def")
    assert (tmp_path / "4567def").is_dir()


SHARDS = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]


@pytest.mark.parametrize(
    ("cached", "held", "kind", "words"),
    [
        ({"config.json": {}}, None, EnvironmentProblem, "was fetched in part: 1 of its files are not in the cache"),
        ({"config.json": {}, local.INDEX: {"weight_map": dict(enumerate(SHARDS))}, SHARDS[0]: {}}, None,
         EnvironmentProblem, f"{SHARDS[1]} first"),
        ({"config.json": {}}, ["config.json", "model.safetensors"], EnvironmentProblem, "run it again"),
        ({"config.json": {}}, ["config.json", "pytorch_model.bin"], UserError, "holds pickled weights"),
        ({}, ["a.gguf"], UserError, "hf download a/b a.gguf"),
        ({"adapter_config.json": {}}, None, UserError, "holds an adapter"),
    ],
)  # fmt: skip
def test_what_was_fetched_in_part_is_the_networks_matter(
    cached: dict[str, Any], held: list[str] | None, kind: type, words: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """`plan` fetches no weights. Break seen to fail: told to convert pickles that are none."""

    def listed(*_: Any, **__: Any) -> list[str]:
        if held is None:
            raise hub.OfflineModeIsEnabled("offline")
        return held

    for name, content in cached.items():
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setattr("fewfit.models.hub.fetch", lambda *_: tmp_path)
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", listed)
    with pytest.raises(kind, match=re.escape(words)) as told:
        local.load("a/b", device="cpu")
    assert told.value.code == ("network" if kind is EnvironmentProblem else "user")
