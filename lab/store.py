"""Model folders: stock Llama configuration, bf16 safetensors, tokenizer; written whole, by rename."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from torch import Tensor

from lab.net import Shape


def config_of(shape: Shape) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": 4096,
        "rope_theta": shape.theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.theta},
        "rms_norm_eps": shape.eps,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "dtype": "bfloat16",
        "initializer_range": 0.02,
        "use_cache": True,
    }


def write_model(folder: Path, params: dict[str, Tensor], shape: Shape, tokenizer) -> None:
    """A folder that `AutoModelForCausalLM` and `AutoTokenizer` load; readers never see half of one."""
    from safetensors.torch import save_file

    from lab.tokens import wrapped

    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(
        {n: p.detach().to(torch.bfloat16).contiguous() for n, p in params.items()},
        fresh / "model.safetensors",
        metadata={"format": "pt"},
    )
    (fresh / "model.safetensors").chmod(0o644)
    (fresh / "config.json").write_text(json.dumps(config_of(shape), indent=1) + "\n")
    generation = {"bos_token_id": None, "eos_token_id": [0, 4], "pad_token_id": 0, "do_sample": False}
    (fresh / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")
    wrapped(tokenizer).save_pretrained(fresh)
    for kept in ("README.md",):
        if (folder / kept).exists():
            shutil.copy(folder / kept, fresh / kept)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {n: p.float() for n, p in load_file(folder / "model.safetensors").items()}
