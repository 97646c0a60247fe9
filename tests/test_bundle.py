"""The bundle: what lies in it, that it is whole, that it tells no more than it should, and that plain PEFT loads it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from bundles_made import FULL, ICL, LETTERS, LORA, TRACK, ZERO_SHOT, Made, free, labelled, made
from folders_made import byte_tokenizer, model_folder
from models_made import NAMES
from peft import AutoPeftModelForCausalLM

from fewfit import bundle
from fewfit.engine.forward import logits_at
from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.render import Renderer

torch.set_num_threads(1)
COMMON = {"README.md", "bundle.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "tiny-base")


@pytest.fixture
def loaded(base: Path) -> local.Loaded:
    return local.load(base, device="cpu")


@pytest.mark.parametrize(
    ("lane", "more"),
    [
        (ZERO_SHOT, set()),
        (ICL, set()),
        (LORA, {"adapter_config.json", "adapter_model.safetensors"}),
        (FULL, {"config.json", "model.safetensors"}),
    ],
)
def test_what_lies_in_it(lane: Lane, more: set[str], loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: `export` not called."""
    saved = made(loaded, lane, labelled(LETTERS), metric="choice", choices=LETTERS).save(tmp_path / "bundle")
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == COMMON | more
    assert (tmp_path / "bundle").stat().st_mode & 0o777 == 0o700, "examples may be private"
    assert bundle.load(tmp_path / "bundle") == saved
    record = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert record["model"]["digest"] == loaded.ref.digest
    assert (record["model"]["dtype"], record["model"]["attention"]) == ("float32", "sdpa")
    assert record["choices"] == list(LETTERS)
    assert [row["id"] for row in record["demonstrations"]] == [str(k + 1) for k in range(lane.shots)]
    assert record["decoding"] == {"max_new_tokens": saved.max_new_tokens, "end_text": "\n\n", "end_ids": [2]}
    greedy = tf.GenerationConfig.from_pretrained(tmp_path / "bundle")
    assert (greedy.do_sample, greedy.max_new_tokens, greedy.eos_token_id) == (False, saved.max_new_tokens, [2])


def test_a_run_is_as_good_as_its_bundle(loaded: local.Loaded, tmp_path: Path) -> None:
    made(loaded, ICL, free()).save(tmp_path / "run" / "bundle")
    assert bundle.load(tmp_path / "run") == bundle.load(tmp_path / "run" / "bundle")


def test_its_tokenizer_is_the_one_that_was_used(loaded: local.Loaded, tmp_path: Path) -> None:
    trained = made(loaded, ICL, free())
    saved = trained.save(tmp_path / "bundle")
    again = Renderer(tf.AutoTokenizer.from_pretrained(tmp_path / "bundle"), saved.settings)
    for example in free():
        assert again.render(saved.demonstrations, example) == trained.renderer.render(trained.demos, example)
    assert (again.end_ids, again.end_text) == (saved.end_ids, saved.end_text)


# ---- the card --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", [ZERO_SHOT, ICL, LORA, FULL])
def test_the_card_tells_no_examples_text(lane: Lane, loaded: local.Loaded, base: Path, tmp_path: Path) -> None:
    examples = [*labelled(("quixotic", "zephyrous")), *free()]
    trained = made(loaded, lane, examples, metric="choice", choices=("quixotic", "zephyrous"))
    trained.save(tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text()
    words = set(re.findall(r"\w+", card.lower()))
    own = {word for e in examples for text in (e.prompt, e.completion) for word in re.findall(r"[a-z]{3,}", str(text))}
    assert own - {"the", "what", "code"}
    assert not words & (own - {"the", "what", "code"})
    assert str(base.parent) not in card, "a card tells nothing of the machine"
    assert "tiny-base" in card
    assert "0.750 (0.500 to 0.875)" in card
    assert lane.name in card


def test_a_hub_model_is_named_where_the_hub_looks_for_it(loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: the revision asked for recorded in place of the commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    loaded.ref = local.ModelRef("someone/tiny", "main", None, commit)
    made(loaded, LORA, free()).save(tmp_path / "bundle")
    adapter = json.loads((tmp_path / "bundle" / "adapter_config.json").read_text())
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == ("someone/tiny", commit)
    head = (tmp_path / "bundle" / "README.md").read_text().split("---")[1]
    assert 'base_model: "someone/tiny"\nbase_model_relation: adapter\nlibrary_name: peft\n' in head


# ---- whole or not at all ---------------------------------------------------------------------------------------------


def test_a_failed_export_leaves_the_old_bundle(loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: the bundle written in its own place from the start."""
    trained = made(loaded, LORA, free())
    trained.save(tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}

    def fails(folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"half")
        raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError):
        trained.save(tmp_path / "bundle", export=fails, n=99)
    assert {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"], "nothing is left lying about"
    trained.save(tmp_path / "bundle", n=99)
    assert bundle.load(tmp_path / "bundle").n == 99
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_cannot_be_loaded_says_why(loaded: local.Loaded, tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(UserError) as told:
            bundle.load(path)
        assert told.value.hint
        return str(told.value)

    assert "no such folder" in refusal(tmp_path / "none")
    assert "holds no bundle.json" in refusal(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    assert "fewfit resume" in refusal(tmp_path)
    made(loaded, ICL, free()).save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "schema": 2}))
    assert "bundle of schema 2" in refusal(tmp_path)
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "decoding"}))
    assert "is damaged (KeyError" in refusal(tmp_path)
    path.write_text("{")
    assert "is damaged" in refusal(tmp_path)


def test_reading_a_bundle_loads_no_torch(loaded: local.Loaded, tmp_path: Path) -> None:
    made(loaded, ICL, free()).save(tmp_path / "bundle")
    code = (
        "import sys; from fewfit import bundle; bundle.load(sys.argv[1]);"
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bundle")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# ---- plain PEFT and transformers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tune", ["lora", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_plain_libraries_load_every_architecture(name: str, tune: Any, tmp_path: Path) -> None:
    """Every adapted layer has moved, and what is saved gives the logits that the engine had.

    Break seen to fail: lora_alpha in adapter_config.json doubled; one lora_B left at zero; the base saved for the lane.
    """
    loaded = local.load(model_folder(tmp_path / "base", name), device="cpu")
    original = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    lane = LORA if tune == "lora" else FULL
    trained = made(loaded, lane, free(6))
    rows = [trained.row(query).ids for query in free(3)]
    places = [list(range(len(ids))) for ids in rows]
    with torch.no_grad():
        trained.learner.score([trained.row(free(1)[0])])  # the lane's weights are in the model
        wanted = logits_at(loaded.model, rows, places)
    trained.save(tmp_path / "bundle")
    moved(trained, tmp_path / "bundle", original)
    trained.learner.close()
    with torch.no_grad():
        untrained = logits_at(loaded.model, rows, places)
    kind = AutoPeftModelForCausalLM if tune == "lora" else tf.AutoModelForCausalLM
    plain = kind.from_pretrained(tmp_path / "bundle", dtype=torch.float32, attn_implementation=loaded.attention).eval()
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for b, row in enumerate(rows):
        ids[b, : len(row)] = torch.tensor(row)
    with torch.no_grad():
        got = plain(input_ids=ids).logits
    got = torch.cat([got[b, : len(row)] for b, row in enumerate(rows)])
    assert (got - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    assert (untrained - wanted).abs().max() > 0.05, "an untrained model must not pass"


def moved(trained: Made, folder: Path, original: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import load_file

    if trained.lane.tune == "lora":
        saved = load_file(folder / "adapter_model.safetensors")
        adapted = {name for name, module in trained.loaded.model.named_modules() if hasattr(module, "lora_A")}
        assert len(saved) == 2 * len(adapted) > 0
        for name in adapted:
            assert saved[f"base_model.model.{name}.lora_B.weight"].abs().max() > 0, f"{name} has not moved"
        return
    still = [
        key
        for key, value in trained.loaded.model.state_dict().items()
        if value.is_floating_point() and torch.equal(value, original[key])
    ]
    # An embedding row that no token asked for stays, the table as a whole does not; buffers are no weights.
    weights = {key for key, _ in trained.loaded.model.named_parameters()}
    assert not [key for key in still if key in weights]


def test_an_object_without_a_name_has_no_base_to_point_to(tmp_path: Path) -> None:
    trained = made("llama", LORA, free())
    trained.save(tmp_path / "bundle")
    adapter = json.loads((tmp_path / "bundle" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] is None
    assert trained.learner.state(TRACK).steps == 12
    assert byte_tokenizer().get_vocab() == trained.loaded.tokenizer.get_vocab()
