"""What servers are told: the line for vLLM, and a Modelfile that Ollama's parser and Go's templates read back."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from bundles_made import ICL, LORA, free, made
from exports_made import run_of
from folders_made import model_folder
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_export_template import ANY, CHATML, DEMOS, QUERIES
from tokenizers_made import QWEN, byte_level, chat_of

from fewfit.examples.example import Example
from fewfit.export import export
from fewfit.export.bake import surroundings
from fewfit.export.serving import adapter_problems, go_text, modelfile, vllm_line
from fewfit.export.weights import end_tokens
from fewfit.models import local
from fewfit.render import Renderer
from fewfit.writing import Sampling

ACTION = re.compile(r'\{\{ (\.Prompt|"(?:[^"\\]|\\.)*") \}\}')


def go(template: str, prompt: str) -> str:
    """A Go template of text, `{{ .Prompt }}` and `{{ "…" }}` carried out; the first two braces begin an action."""
    out, at = [], 0
    while (start := template.find("{{", at)) >= 0:
        found = ACTION.match(template, start)
        assert found, f"no action: {template[start : start + 20]}"
        inside, out, at = found.group(1), [*out, template[at:start]], found.end()
        if inside == ".Prompt":
            out.append(prompt)
        else:
            out.append(
                re.sub(r'\\U([0-9a-f]{8})|\\(["\\])', lambda m: chr(int(m[1], 16)) if m[1] else m[2], inside[1:-1])
            )
    return "".join([*out, template[at:]])


def commands(text: str) -> list[tuple[str, str]]:
    """As Ollama's parser reads a Modelfile: a character at a time, what is not printed dropped, values to the first
    white space at which their quotes are closed."""
    out, name, held = [], "", ""

    def closed(value: str) -> str | None:
        value = value.strip(" \t\r\n")
        for quote in ('"""', '"'):
            if value.startswith(quote):
                whole = len(value) >= 2 * len(quote) and value.endswith(quote)
                return value[len(quote) : -len(quote)] if whole else None
        return value

    state = "nothing"
    for c in text:
        if state == "nothing" and c == "#":
            state = "comment"
        elif state == "comment":
            state = "nothing" if c in "\r\n" else "comment"
        elif state == "nothing" and c not in " \t\r\n":
            state, held = "name", c
        elif state == "name":
            if c in " \t":
                name, held = held.lower(), ""
                state = "parameter" if name == "parameter" else "value"
            else:
                assert c.isascii() and c.isalpha(), f"{held}{c}: no command"
                held += c
        elif state == "parameter":
            if c in " \t":
                name, held, state = held, "", "value"
            else:
                held += c
        elif state == "value":
            value = closed(held)
            if c in "\r\n" and value is not None:
                out.append((name, value))
                state, held = "nothing", ""
            elif c in " \t\r\n" or c.isprintable():
                held += c
    assert state == "nothing", "the last value is not closed"
    return out


@given(ANY, st.text(max_size=5))
@example("{{ .Prompt }} and {", "x")
@example('"""no"""\nshe said "', "x")
@settings(max_examples=150, deadline=None)
def test_any_text_stands_in_a_modelfile(text: str, prompt: str) -> None:
    """Breaks seen to fail: braces left as they are; quotes left as they are; what is not printed left as it is."""
    whole = f'FROM x\nTEMPLATE """{go_text(text)}{{{{ .Prompt }}}}{go_text(text)}"""\nPARAMETER stop "\n\n"\n'
    read = commands(whole)
    assert [name for name, _ in read] == ["from", "template", "stop"]
    assert go(read[1][1], prompt) == text + prompt + text
    assert read[2][1] == "\n\n"


@pytest.mark.parametrize("form", ["chat", "plain", "plain with BOS"])
def test_the_modelfile_writes_the_bundles_prompts(form: str, tmp_path: Path) -> None:
    """But for BOS, which Ollama puts in front itself. Break seen to fail: BOS kept."""
    tokenizer = chat_of(CHATML) if form == "chat" else byte_level(bos=form.endswith("BOS"))
    renderer = Renderer.resolve(tokenizer, QUERIES, chat="auto" if form == "chat" else "off", max_length=900)
    saved = replace(
        run_of(tmp_path / "run", made("llama", ICL, free()), free()),
        settings=renderer.settings,
        end_text=renderer.end_text,
        end_ids=renderer.end_ids,
    )
    text = modelfile(saved, renderer, surroundings(renderer, DEMOS), "../merged")
    read = commands(text)
    told = dict(read)
    for query in QUERIES:
        prompt = query.prompt.strip()
        assert go(told["template"], prompt) == replace_bos(renderer.layout.lay(DEMOS, query).text)
    assert told["from"] == "../merged"
    assert (told["temperature"], told["num_ctx"], told["repeat_penalty"]) == ("0", "900", "1")
    sampled = replace(saved, sampling=Sampling(0.7, 0.9, 1.15))
    told = dict(commands(modelfile(sampled, renderer, surroundings(renderer, DEMOS), "../merged")))
    assert (told["temperature"], told["top_p"], told["repeat_penalty"]) == ("0.7", "0.9", "1.15")
    stops = [value for name, value in read if name == "stop"]
    assert set(stops) == ({"<|im_end|>", "<|endoftext|>"} if form == "chat" else {renderer.end_text, "<|endoftext|>"})


def test_ollama_sets_no_more_memory_aside_than_is_wanted(tmp_path: Path) -> None:
    """Break seen to fail: all that the model could take; a prompt longer than that, which would be cut."""
    renderer = Renderer.resolve(byte_level(), QUERIES, chat="off", max_length=40_960)
    saved = replace(run_of(tmp_path / "run", made("llama", ICL, free()), free()), settings=renderer.settings)

    def context(*demos: Example, most: int | None = 40_960) -> int:
        of = replace(saved, settings=replace(renderer.settings, max_length=most))
        text = modelfile(of, renderer, surroundings(renderer, demos), "../merged")
        return int(dict(commands(text))["num_ctx"])

    assert context(*DEMOS) == context(*DEMOS, most=None) == 4096
    long = Example("long", "".join(chr(65 + k % 26) + chr(97 + k % 23) for k in range(3000)), "x")
    tokens = len(renderer.prompt([long], Example("q", "?", "")).ids)
    assert tokens > 3000 and tokens + 2048 < context(long) < tokens + 2048 + 2 * 1024
    assert context(long, most=6000) == 6000


def replace_bos(text: str) -> str:
    return text.removeprefix("<|begin|>")


@pytest.mark.parametrize(("rank", "most"), [(4, 8), (8, 8), (12, 16), (64, 64)])
def test_the_line_for_vllm(rank: int, most: int, tmp_path: Path) -> None:
    """Break seen to fail: the rank itself, which vLLM does not take unless it is one of its own."""
    saved = run_of(tmp_path / "a run", made("llama", replace(LORA, rank=rank), free()), free())
    words = shlex.split(vllm_line(saved, Path("/to/a folder"), "peft", "template.jinja"))
    told = dict(pairwise(words))
    assert told["--max-lora-rank"] == str(most)
    assert told["--lora-modules"] == f"{saved.lane.name}=/to/a folder/peft"
    assert told["--chat-template"] == "/to/a folder/template.jinja"
    assert told["--generation-config"] == "/to/a folder"
    assert json.loads(told["--override-generation-config"]) == {"temperature": 0}
    assert told["--dtype"] == "float32"
    assert "--enable-lora" in words
    here = shlex.split(vllm_line(saved, None, "merged", None))
    assert here[2] == "./merged"
    assert not {"--chat-template", "--enable-lora"} & set(here)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": "lora_only"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
        ({"use_dora": True}, "DoRA"),
        ({"r": 1024}, "rank 1024"),
        ({"peft_type": "IA3"}, "IA3"),
    ],
)
def test_adapters_that_vllm_refuses(change: dict[str, object], words: str, tmp_path: Path) -> None:

    from fewfit.models import local

    trained = made(local.load(model_folder(tmp_path / "base"), device="cpu"), LORA, free())
    saved = run_of(tmp_path / "run", trained, free())
    assert adapter_problems(saved.folder) == []
    path = saved.folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert any(words in one for one in adapter_problems(saved.folder))


def test_an_adapter_that_vllm_refuses_is_told(tmp_path: Path) -> None:
    """Break seen to fail: the adapter of the export not looked at."""
    trained = made(local.load(model_folder(tmp_path / "base"), device="cpu"), replace(LORA, rank=600), free())
    saved = run_of(tmp_path / "run", trained, free())
    told = export(saved, tmp_path / "out", ["peft"], device="cpu", check=0)
    assert any("vLLM will not take the adapter: its rank 600" in note for note in told.notes)


def test_weights_without_a_template_are_not_to_be_asked_for_a_chat(tmp_path: Path) -> None:
    """Break seen to fail: one message of the user, under the base model's own template."""
    trained = made(local.load(model_folder(tmp_path / "base"), device="cpu"), LORA, free())
    lane = replace(LORA, deliver="per-query")
    saved = run_of(tmp_path / "run", trained, free(), sets=[free()[:2], free()[4:6]], pool=free(), lane=lane)
    told = export(saved, tmp_path / "out", device="cpu", check=0)
    page = (tmp_path / "out" / "README.md").read_text()
    assert "chat.completions" not in page and page.count("write the whole prompt") == 1
    assert any("write the whole prompt" in note and "--set 1" in note for note in told.notes)
    told = export(saved, tmp_path / "again", set_number=1, device="cpu", check=0)
    assert "chat.completions" in (tmp_path / "again" / "README.md").read_text()
    assert not any("whole prompt" in note for note in told.notes)


def test_an_export_over_weights_that_are_not_quantized_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is compared as it is served. Breaks seen to fail: no note; the quantized model asked for the template."""
    whole, asked = local.load_model, list[object]()

    def load_model(*args: object, quantize: object, **more: object) -> object:
        asked.append(quantize)
        return whole(*args, quantize=None, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "load_model", load_model)
    trained = made(local.load(model_folder(tmp_path / "base"), device="cpu"), ICL, free())
    plain = run_of(tmp_path / "run", trained, free())
    saved = replace(plain, model=replace(plain.model, quantize="nf4"))
    told = export(saved, tmp_path / "out", ["template"], device="cpu")
    assert asked == ["nf4", None]
    assert any("nf4" in note for note in told.notes) and "in nf4" in (tmp_path / "out" / "README.md").read_text()
    assert not any("nf4" in note for note in export(plain, tmp_path / "plain", ["template"], device="cpu").notes)


def test_a_token_that_begins_with_the_end_mark_ends_an_answer() -> None:
    """A server's files hold tokens and no stop strings: where the mark is a token, the answer ends by itself.

    GPT-2's tokenizer takes a blank line before a word for two tokens, of which neither is the mark.
    Break seen to fail: none found.
    """
    shown = [Example("1", "a", "Yes")]
    found = {
        name: {tokenizer.decode([id]) for id in end_tokens(Renderer.resolve(tokenizer, shown, chat="off"))}
        for name, tokenizer in (("Qwen", byte_level(QWEN)), ("GPT-2", byte_level()))
    }
    assert found == {"Qwen": {"\n\n"}, "GPT-2": set()}
    assert end_tokens(Renderer.resolve(chat_of(CHATML), shown)) == set()
