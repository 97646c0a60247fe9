"""GGUF files: converted once, found again by their content, refused in one line."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from bundles_made import LORA, free, made
from folders_made import VOCABULARY, byte_tokenizer
from models_made import tiny

from fewfit import predict
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.models import gguf, gguf_header, gguf_tokenizer, local

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="the package gguf is not installed"),
    pytest.mark.skipif(
        tuple(int(part) for part in transformers.__version__.split(".")[:2]) < (5, 23),
        reason="this transformers reads tokenizers of GGUF files wrongly, and is refused",
    ),
]
torch.set_num_threads(1)
TEXT = "Input: the colour of it\nOutput: Grüße"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gguf_made import gguf_file

    return gguf_file(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def refuse_to_convert(*_: Any, **__: Any) -> None:
    raise AssertionError("converted a second time")


def refusal(name: Any, **settings: Any) -> str:
    with pytest.raises((UserError, EnvironmentProblem)) as told:
        local.load(name, device="cpu", **settings)
    assert "\n" not in str(told.value)
    assert told.value.hint
    return str(told.value)


# ---- conversion ------------------------------------------------------------------------------------------------------


def test_weights_and_tokenizer_come_out_as_they_went_in(file: Path) -> None:
    """Break seen to fail: the file's heads not turned (transformers turns them back)."""
    loaded = local.load(file, device="cpu")
    fresh = tiny("llama", vocab_size=VOCABULARY, dtype=torch.float32)
    ids = torch.arange(3, 40).unsqueeze(0)
    assert torch.equal(loaded.model(ids).logits, fresh(ids).logits)
    assert getattr(loaded.model.config, "quantization_config", None) is None
    tokenizer = loaded.tokenizer
    assert tokenizer(TEXT)["input_ids"] == byte_tokenizer()(TEXT)["input_ids"]
    assert tokenizer.is_fast
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<bos>", "<eos>", "<pad>")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "red"}], tokenize=False) == "<bos>red<eos>"


def test_a_file_is_converted_once_and_found_after_a_move(
    file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break seen to fail: the folder looked for by the file's name."""
    told: list[str] = []
    first = local.load(file, tokenizer_only=True, tell=told.append).ref
    monkeypatch.setattr(gguf, "convert", refuse_to_convert)
    again = local.load(file, tokenizer_only=True, tell=told.append).ref
    elsewhere = shutil.copy(file, tmp_path / "another name.gguf")
    moved = local.load(elsewhere, tokenizer_only=True).ref
    assert first == again
    assert (first.digest, first.folder) == (moved.digest, moved.folder)
    assert first.digest == f"gguf:{gguf.sha256_of((file,))}"
    assert (first.name, first.short_name) == (str(file), "tiny.gguf")
    assert len(told) == 1 and "once" in told[0]
    assert [path.name for path in cache.iterdir()] == [f"tiny-{first.digest[5:21]}"], "nothing is left beside it"


def test_another_content_is_another_model(file: Path, tmp_path: Path) -> None:
    from gguf_made import gguf_file

    other = gguf_file(tmp_path / "tiny.gguf", seed=1)
    assert local.load(other, tokenizer_only=True).ref.digest != local.load(file, tokenizer_only=True).ref.digest


def test_the_folder_is_its_owners_and_holds_no_pickle(file: Path, cache: Path) -> None:
    folder = Path(str(local.load(file, tokenizer_only=True).ref.folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "source.json"} <= names
    assert {Path(name).suffix for name in names} <= {".json", ".safetensors", ".jinja"}
    source = json.loads((folder / "source.json").read_text())
    assert (source["file"], source["name"]) == ("tiny.gguf", "Tiny Llama")
    assert source["bytes"] == file.stat().st_size
    assert source["transformers"] == transformers.__version__


@pytest.mark.slow
def test_two_at_once_both_end_well(file: Path, cache: Path) -> None:
    """Break seen to fail: an error of the rename, where the other one was first, let through."""
    code = (
        "import sys, time; from fewfit.models import gguf, local; inner = gguf.write_weights\n"
        "def late(file, out):\n"
        "    left = inner(file, out); open(sys.argv[2], 'w'); stop = time.time() + 60\n"
        "    while not __import__('os').path.exists(sys.argv[3]) and time.time() < stop: time.sleep(0.05)\n"
        "    return left\n"
        "gguf.write_weights = late; print(local.load(sys.argv[1], tokenizer_only=True).ref.folder)"
    )
    marks = [str(cache.parent.with_name(mark)) for mark in ("a", "b")]
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(file), *order], stdout=subprocess.PIPE, text=True)
        for order in (marks, marks[::-1])
    ]
    folders = [child.communicate(timeout=180)[0].strip() for child in running]
    assert [child.returncode for child in running] == [0, 0]
    assert folders[0] == folders[1]
    assert [str(path) for path in cache.iterdir()] == folders[:1]


def test_a_neighbouring_adapter_or_config_is_not_taken_up(file: Path, tmp_path: Path) -> None:
    """Break seen to fail: transformers given the file's own folder."""
    beside = Path(shutil.copy(file, tmp_path / "tiny.gguf"))
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "another", "eos_token": "a"}')
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "nobody/nothing", "peft_type": "LORA"}')
    assert local.load(beside, device="cpu").tokenizer.eos_token == "<eos>"


def test_what_a_killed_conversion_left_is_cleared_a_day_later(file: Path, cache: Path) -> None:
    old, young = cache / ".old-0.x", cache / ".young-0.x"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    local.load(file, tokenizer_only=True)
    assert young.exists()
    assert not old.exists()


@pytest.mark.parametrize(
    ("facts", "hub"),
    [
        ({"general__base_model__0__repo_url": "https://huggingface.co/some/Tiny"}, "some/Tiny"),
        ({"general__base_model__0__repo_url": "https://huggingface.co/some/T", "general__finetune": "Instruct"}, None),
        (
            {"general__base_model__0__repo_url": "https://huggingface.co/some/T-it", "general__finetune": "it"},
            "some/T-it",
        ),
        ({"general__source__repo_url": "https://huggingface.co/some/Source"}, "some/Source"),
        ({"general__source__url": "https://example.org/some/Source"}, None),
        ({}, None),
    ],
)
def test_the_hub_model_is_told_where_the_file_is_plain_about_it(
    facts: dict[str, str], hub: str | None, tmp_path: Path
) -> None:
    """Break seen to fail: what a fine-tuned model began with taken for the model."""
    from gguf_made import gguf_file

    assert gguf.hub_model(gguf_header.read_header(gguf_file(tmp_path / "x.gguf", **facts))) == hub


def test_the_cache_is_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert gguf.models_folder() == tmp_path / "fewfit" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert gguf.models_folder() == tmp_path / "home" / ".cache" / "fewfit" / "models"


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_what_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    for content in (b"", b"GGU", b"PK\x03\x04 and so on"):
        path.write_bytes(content)
        assert "is no GGUF file" in refusal(path)
    assert "no such file" in refusal(tmp_path / "none.gguf")
    assert "no such file" in refusal("none.gguf")


@pytest.mark.parametrize(("share", "words"), [(0.001, "ends inside its header"), (0.6, "is cut off")])
def test_a_truncated_file_is_refused(share: float, words: str, file: Path, tmp_path: Path, cache: Path) -> None:
    content = file.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(content[: max(20, int(share * len(content)))])
    said = refusal(path)
    assert words in said
    assert str(path) in said
    assert list(cache.iterdir()) == []


def test_an_architecture_that_transformers_does_not_read_is_named(tmp_path: Path) -> None:
    from gguf_made import gguf_file

    assert "(architecture newfangled)" in refusal(gguf_file(tmp_path / "x.gguf", architecture="newfangled"))


def test_the_package_is_named_where_it_is_missing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'fewfit[gguf]'" in refusal(file)


def test_a_full_disk_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(file.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda at: usage._replace(free=1000))
    said = refusal(file)
    assert "free some disk" in said


def test_a_cache_that_cannot_be_written_is_told(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "occupied"))
    assert "set FEWFIT_CACHE" in refusal(file)


def test_a_revision_of_a_file_is_refused(file: Path) -> None:
    assert "no --revision" in refusal(file, revision="main")


@pytest.mark.parametrize(
    ("break_", "words"),
    [
        ({"tokenizer.ggml.eos_token_id": 1}, "its eos token is 2"),
        ({"tokenizer.ggml.tokens": ["a"] * 400}, "and the file 400"),
        ({"tokenizer.ggml.add_bos_token": True}, "without a bos token"),
        ({"tokenizer.chat_template": "another"}, "chat template"),
    ],
)
def test_a_tokenizer_that_differs_from_the_file_is_seen(break_: dict[str, Any], words: str, file: Path) -> None:
    header = gguf_header.read_header(file)
    tokenizer = local.load(file, tokenizer_only=True).tokenizer
    assert list(gguf_tokenizer.differences(tokenizer, header)) == []
    changed = gguf_header.Header({**header.facts, **break_}, header.tensors, header.tensors_start)
    assert words in "; ".join(gguf_tokenizer.differences(tokenizer, changed))


def test_a_tokenizer_without_its_merges_is_seen(file: Path) -> None:
    """As releases of transformers before 5.20 made it of Gemma's file."""
    from tokenizers import Tokenizer

    tokenizer = local.load(file, tokenizer_only=True).tokenizer
    model = json.loads(tokenizer.backend_tokenizer.to_str())
    model["model"]["merges"] = []
    bare = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(model)), bos_token="<bos>", eos_token="<eos>"
    )
    bare.chat_template = tokenizer.chat_template
    told = list(gguf_tokenizer.differences(bare, gguf_header.read_header(file)))
    assert len(told) == 1 and "made from their text" in told[0]


# ---- bundles ---------------------------------------------------------------------------------------------------------


def test_a_bundle_finds_its_file_again_and_plain_peft_its_folder(file: Path, tmp_path: Path) -> None:
    """Break seen to fail: the file's path in adapter_config.json; the digest not handed to the loader."""
    from gguf_made import gguf_file
    from peft import AutoPeftModelForCausalLM

    own = gguf_file(tmp_path / "own.gguf", general__source__repo_url="https://huggingface.co/some/Tiny")
    loaded = local.load(own, device="cpu")
    lane = made(loaded, LORA, free())
    bundle = lane.save(tmp_path / "bundle")
    record = json.loads((tmp_path / "bundle" / "bundle.json").read_text())["model"]
    assert record["digest"] == f"gguf:{gguf.sha256_of((own,))}"
    assert record["hub"] == "some/Tiny"
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert 'base_model: "some/Tiny"' in card
    assert "dequantised from the GGUF file own.gguf" in card
    assert str(tmp_path) not in card
    adapter = json.loads((tmp_path / "bundle" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == loaded.ref.folder

    asked = ["code of kiwi 1"]
    here = predict.load(bundle.folder, device="cpu").predict(asked)
    own.rename(tmp_path / "moved.gguf")
    assert predict.load(bundle.folder, device="cpu").predict(asked) == here
    plain = AutoPeftModelForCausalLM.from_pretrained(str(bundle.folder), dtype=torch.float32)
    ids = torch.tensor([loaded.tokenizer(asked[0])["input_ids"]])
    assert not torch.equal(plain(ids).logits, local.load(str(loaded.ref.folder), device="cpu").model(ids).logits)


def test_a_bundle_without_the_field_of_the_hub_still_loads(file: Path, tmp_path: Path) -> None:
    from fewfit import bundle

    made(local.load(file, device="cpu"), LORA, free()).save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    record = json.loads(path.read_text())
    del record["model"]["hub"]
    path.write_text(json.dumps(record))
    assert bundle.load(path.parent).model.hub is None
