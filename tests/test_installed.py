"""Models by name without a network: what is listed, what is missing, and the two real ones."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from folders_made import model_folder

from fewfit.bundle import Base
from fewfit.bundle.card import gguf_rows
from fewfit.cli.main import run
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.models import gguf, installed, local
from fewfit.plan.shape import is_here

torch.set_num_threads(1)
REAL = [model for model in installed.MODELS if model.gguf is not None]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_names_are_told_apart() -> None:
    assert len(set(installed.NAMES)) == len(installed.MODELS)
    assert installed.BUNDLED == ("lab",)
    assert not set(installed.BUNDLED) & {model.name for model in REAL}
    assert installed.find("gpt2") is None
    assert all(model.install and "fewfit[gguf]" in model.install for model in REAL)
    assert all(installed.by_sha256(model.gguf.sha256) == model for model in REAL if model.gguf)


@pytest.mark.parametrize("name", installed.BUNDLED)
def test_a_bundled_model_is_as_large_as_its_record_says(name: str) -> None:
    from safetensors.torch import load_file

    folder, model = installed.bundled_folder(name), installed.find(name)
    if folder is None or model is None:
        pytest.skip("no weights in this tree")
    file = folder / "model.safetensors"
    assert model.bytes == file.stat().st_size
    assert model.parameters == sum(weight.numel() for weight in load_file(file).values())


@pytest.mark.parametrize("model", REAL, ids=lambda model: model.name)
def test_what_is_not_installed_names_its_command(model: installed.Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: the name handed on to the hub."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as told:
        local.load(model.name)
    assert str(told.value).endswith(str(model.install))
    assert model.name in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_part_is_a_missing_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: only the first part looked for."""
    for part in ("one", "two"):
        (tmp_path / f"weights_{part}").mkdir()
        (tmp_path / f"weights_{part}" / "data").write_bytes(part.encode())
    monkeypatch.syspath_prepend(str(tmp_path))
    there = installed.Gguf("x.gguf", "0" * 64, (("weights_one", "data"), ("weights_two", "data")))
    found = installed.parts(there)
    assert found is not None and [path.read_bytes() for path in found] == [b"one", b"two"]
    assert installed.parts(replace(there, parts=(*there.parts, ("weights_three", "data")))) is None


def test_packages_are_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: importlib.import_module instead of find_spec."""
    (tmp_path / "weights_odd").mkdir()
    (tmp_path / "weights_odd" / "__init__.py").write_text("raise ImportError('of what is not installed')")
    (tmp_path / "weights_odd" / "data").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed.parts(installed.Gguf("x.gguf", "0" * 64, (("weights_odd", "data"),))) is not None
    assert "weights_odd" not in sys.modules


def test_a_damaged_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: the parts' SHA-256 not compared."""
    (tmp_path / "weights_bad").mkdir()
    (tmp_path / "weights_bad" / "data").write_bytes(b"GGUF and no more")
    monkeypatch.syspath_prepend(str(tmp_path))
    bad = replace(REAL[0], gguf=installed.Gguf("x.gguf", "0" * 64, (("weights_bad", "data"),)))
    with pytest.raises(EnvironmentProblem, match="is damaged"):
        gguf.from_installed(bad)


def test_parts_are_put_together_in_order_and_the_packages_not_needed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break seen to fail: the whole file left in the cache; the packages looked for first."""
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    if not recent_transformers():
        pytest.skip("this transformers reads tokenizers of GGUF files wrongly, and is refused")
    from gguf_made import gguf_file

    content = gguf_file(tmp_path / "whole.gguf").read_bytes()
    for n, piece in enumerate((content[:5000], content[5000:9000], content[9000:])):
        (tmp_path / f"weights_{n}").mkdir()
        (tmp_path / f"weights_{n}" / "data").write_bytes(piece)
    monkeypatch.syspath_prepend(str(tmp_path))
    sha256 = gguf.sha256_of((tmp_path / "whole.gguf",))
    model = replace(
        REAL[0],
        name="tiny",
        gguf=installed.Gguf("whole.gguf", sha256, tuple((f"weights_{n}", "data") for n in range(3))),
    )
    monkeypatch.setattr(installed, "MODELS", (model,))
    ref = local.load("tiny", tokenizer_only=True).ref
    assert (ref.name, ref.short_name, ref.digest, ref.hub) == ("tiny", "tiny", f"gguf:{sha256}", model.hub)
    assert not [path for path in Path(str(ref.folder)).parent.rglob("*") if path.suffix == ".gguf"]
    monkeypatch.setattr(installed, "parts", lambda gguf: None)
    assert local.load("tiny", tokenizer_only=True).ref == ref
    assert local.load(tmp_path / "whole.gguf", tokenizer_only=True).ref.hub == model.hub, "known by its content"


def test_a_folder_of_the_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_folder(tmp_path / "smollm2")
    monkeypatch.chdir(tmp_path)
    assert local.load("smollm2", device="cpu").ref.digest.startswith("files:")


def test_an_installed_model_has_no_revision() -> None:
    with pytest.raises(UserError, match="no --revision"):
        local.load("smollm2", revision="main")


def test_a_plan_fetches_nothing_for_them(tmp_path: Path) -> None:
    assert is_here("smollm2", None)
    (tmp_path / "x.gguf").write_bytes(b"")
    assert is_here(str(tmp_path / "x.gguf"), None)
    assert not is_here("someone/never-fetched", None)


def test_a_card_says_whose_weights_they_were_and_that_they_are_rounded() -> None:
    class Made:
        model = Base("gemma3-270m", None, "/somewhere", "gguf:0", "float32", None, hub="google/gemma-3-270m")

    text = "\n".join(gguf_rows(Made()))  # type: ignore[arg-type]
    assert "google/gemma-3-270m" in text
    assert "dequantised from the GGUF file gemma-3-270m-q4_k_m.gguf" in text
    assert "https://ai.google.dev/gemma/terms" in text


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_models_in_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "parts", lambda gguf: None)
    assert run(["models", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    told = json.loads(lines[0])
    assert told["schema"] == 1
    rows = {row["name"]: row for row in told["models"]}
    assert tuple(rows) == installed.NAMES
    keys = ["name", "description", "parameters", "bytes", "licence", "hub", "installed", "converted", "install"]
    assert all(list(row) == keys for row in rows.values())
    assert (rows["lab"]["converted"], rows["lab"]["install"]) == (None, None)
    assert (rows["smollm2"]["installed"], rows["smollm2"]["converted"]) == (False, False)
    assert rows["smollm2"]["hub"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_the_models_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    shown = capsys.readouterr().out
    for model in installed.MODELS:
        assert model.name in shown
        assert model.install is None or model.install in shown, "on one line, to be copied"


def test_listing_loads_nothing_heavy() -> None:
    code = (
        "import sys; from fewfit.cli.main import run; assert run(['models', '--json']) == 0\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


# ---- the real ones ---------------------------------------------------------------------------------------------------


def recent_transformers() -> bool:
    return tuple(int(part) for part in transformers.__version__.split(".")[:2]) >= (5, 23)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("shared"))


def loaded(name: str, cache: str, monkeypatch: pytest.MonkeyPatch) -> local.Loaded:
    model = installed.find(name)
    assert model is not None and model.gguf is not None
    if importlib.util.find_spec("gguf") is None or installed.parts(model.gguf) is None:
        pytest.skip(f"{name} is not installed: {model.install}")
    if not recent_transformers():
        pytest.skip("this transformers reads tokenizers of GGUF files wrongly, and is refused")
    monkeypatch.setenv("FEWFIT_CACHE", cache)
    return local.load(name, device="cpu")


def greedy(model: Any, tokenizer: Any, text: str, tokens: int) -> str:
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens)
    return str(tokenizer.decode(out[0, ids.shape[1] :]))


@pytest.mark.slow
def test_smollm2_knows_the_capital_of_france(shared_cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    got = loaded("smollm2", shared_cache, monkeypatch)
    assert greedy(got.model, got.tokenizer, "The capital of France is", 1) == " Paris"
    assert (got.tokenizer.bos_token, got.tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    chat = got.tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n")
    assert sum(weight.numel() for weight in got.model.parameters()) == installed.find("smollm2").parameters  # type: ignore[union-attr]


@pytest.mark.slow
def test_smollm2_writes_the_same_from_the_file_and_from_the_cache(
    shared_cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = loaded("smollm2", shared_cache, monkeypatch)
    again = local.load("smollm2", device="cpu")
    (file,) = installed.need_parts(installed.find("smollm2"))  # type: ignore[arg-type]
    straight = {"gguf_file": file.name, "local_files_only": True}
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **straight)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(file.parent), **straight)
    text = "Three colours of the rainbow are"
    wanted = greedy(model, tokenizer, text, 24)
    assert wanted.strip()
    assert [greedy(one.model, one.tokenizer, text, 24) for one in (cached, again)] == [wanted, wanted]


@pytest.mark.slow
def test_gemma_loads(shared_cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    got = loaded("gemma3-270m", shared_cache, monkeypatch)
    assert got.model.get_input_embeddings().weight.shape[0] == len(got.tokenizer) == 262144
    assert got.tokenizer("red")["input_ids"][0] == got.tokenizer.bos_token_id
    told = greedy(got.model, got.tokenizer, "one, two, three, four, five,", 3)
    assert told.strip().startswith("six")
    assert sum(weight.numel() for weight in got.model.parameters()) == installed.find("gemma3-270m").parameters  # type: ignore[union-attr]
