"""What servers are told: the line that starts vLLM, and Ollama's Modelfile.

Neither takes a template or decoding from an adapter's folder, so both are given here, for lanes without demonstrations
too. Flags as in vLLM 0.32's own --help, the Modelfile as Ollama's parser reads it.
"""

from __future__ import annotations

import json
import shlex
from itertools import groupby
from pathlib import Path

from fewfit.bundle import Bundle
from fewfit.bundle.folder import ADAPTER
from fewfit.export.bake import Surroundings, beginning
from fewfit.render import Renderer

# What --max-lora-rank may be in every release of vLLM that knows it as a list.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
CONTEXT = 4096  # what Ollama gives unasked
QUERY = 2048  # tokens left for a query: of a longer prompt Ollama cuts the beginning off, silently
BLOCK = 1024


def vllm_line(bundle: Bundle, to: Path | None, kind: str, template: str | None) -> str:
    """`kind` is `peft`, `merged`, or `template` for the base model as it is. `to` holds generation_config.json; None
    is the folder that the line is typed in."""
    place = "." if to is None else str(to)
    base = bundle.model
    words = ["vllm", "serve"]
    if kind == "merged":
        words += [f"{place}/merged", "--served-model-name", bundle.lane.name]
    else:
        words += [base.folder or base.name, *(["--revision", base.digest] if base.from_hub else [])]
    words += ["--dtype", base.dtype]
    if kind == "peft":
        rank = next((one for one in RANKS if one >= bundle.lane.rank), bundle.lane.rank)
        words += ["--enable-lora", "--max-lora-rank", str(rank)]
        words += ["--lora-modules", f"{bundle.lane.name}={place}/peft"]
    if kind == "template":
        words += ["--served-model-name", bundle.lane.name]
    if template is not None:
        words += ["--chat-template", f"{place}/{template}"]
    # Else vLLM samples at temperature 1, or as the base model's own file says, and stops at the base model's ends.
    heeded = json.dumps({"temperature": bundle.sampling.temperature})
    words += ["--generation-config", place, "--override-generation-config", heeded]
    return shlex.join(words)


def adapter_problems(folder: Path) -> list[str]:
    """Why vLLM would refuse the adapter."""
    config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    problems = []
    if config.get("peft_type") != "LORA":
        problems.append(f"it is {config.get('peft_type')}, and only LORA is served")
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        problems.append("it trains biases")
    if config.get("modules_to_save"):
        problems.append(f"it replaces whole modules ({', '.join(config['modules_to_save'])})")
    if config.get("use_dora"):
        problems.append("it is DoRA")
    if config.get("r", 0) > RANKS[-1]:
        problems.append(f"its rank {config['r']} is above {RANKS[-1]}")
    return problems


def stops(bundle: Bundle, renderer: Renderer) -> list[str]:
    """What a client has to give as `stop`: an end mark that is no token of its own, and so in no server's files."""
    return [] if renderer.encoder.token(bundle.end_text) is not None else [bundle.end_text]


def without_template(bundle: Bundle) -> str:
    """What weights are to be asked with that no template could be baked for."""
    again = "; `--set 1` bakes the first set of demonstrations" if len(bundle.sets) > 1 else ""
    return (
        "no chat template was made, and behind the base model's own nothing was tested: clients have to write the "
        f"whole prompt and ask for completions{again}"
    )


def quantized(bundle: Bundle) -> list[str]:
    """Nothing here loads the base model as the bundle ran."""
    if not bundle.model.quantize or bundle.weights == "model":
        return []
    return [
        f"the bundle was made and tested on the base model in {bundle.model.quantize}; what is exported runs on its "
        f"weights in {bundle.model.dtype}, not quantized, and may answer otherwise"
    ]


# ---- Ollama ----------------------------------------------------------------------------------------------------------


def modelfile(bundle: Bundle, renderer: Renderer, around: Surroundings, weights: str) -> str:
    """`weights` is the folder of the merged model, as seen from the Modelfile.

    An ADAPTER line would be shorter, but Ollama 0.34.1 and later make no model of one.
    """
    special = [renderer.encoder.decode([id]) for id in sorted(bundle.end_ids)]
    ends = dict.fromkeys([*stops(bundle, renderer), *special])
    before = around.before
    if before.startswith(first := beginning(renderer)):  # Ollama puts it there by itself
        before = before.removeprefix(first)
    how = bundle.sampling
    lines = [
        "# Made by fewfit. `ollama create NAME -f Modelfile` in this folder reads the safetensors named below.",
        "# A release that takes GGUF alone wants the file that llama.cpp's convert_hf_to_gguf.py makes of them.",
        f"FROM {weights}",
        f'TEMPLATE """{go_text(before)}{{{{ .Prompt }}}}{go_text(around.after)}"""',
        f"PARAMETER temperature {how.temperature:g}",
        f"PARAMETER top_p {how.top_p:g}",
        f"PARAMETER repeat_penalty {how.repetition_penalty:g}",
        "PARAMETER repeat_last_n -1",
        f"PARAMETER num_predict {bundle.max_new_tokens}",
        f"PARAMETER num_ctx {context(bundle, renderer, around)}",
        *(f"PARAMETER stop {quoted(end)}" for end in ends),
    ]
    return "\n".join(lines) + "\n"


def context(bundle: Bundle, renderer: Renderer, around: Surroundings) -> int:
    """Not all that the model could take: Ollama sets memory aside for every token of it."""
    around_ids = renderer.tokenizer(around.before + around.after, add_special_tokens=False)["input_ids"]
    needed = len(around_ids) + QUERY + bundle.max_new_tokens
    size = max(CONTEXT, -(-needed // BLOCK) * BLOCK)
    return min(size, bundle.settings.max_length or size)


def go_text(text: str) -> str:
    """Text that Go's templates and Ollama's parser leave as it is: the one reads braces, the other quotes, and what is
    not printed it drops."""

    def is_odd(character: str) -> bool:
        return character in '{"' or not (character.isprintable() or character == "\n")

    def inside(character: str) -> str:
        return '\\"' if character == '"' else character if character == "{" else f"\\U{ord(character):08x}"

    out = []
    for odd, run in groupby(text, is_odd):
        letters = list(run)
        out.append('{{ "' + "".join(map(inside, letters)) + '" }}' if odd else "".join(letters))
    return "".join(out)


def quoted(text: str) -> str:
    return f'"""{text}"""' if '"' in text else f'"{text}"'
