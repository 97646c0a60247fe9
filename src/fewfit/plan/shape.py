"""A model's size from its config: built on the meta device, where it has shapes and no weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.engine.targets import adapted_modules, layer_prefixes
from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.models import installed, local
from fewfit.models.configs import context_length, text_config

EXPERT = re.compile(r"\bexperts?\b")
# Half a byte a weight; a scale of one byte for each 64 of them, and one of four for 256 scales (double quantisation).
NF4 = 1 / 2 + 1 / 64 + 4 / (64 * 256)
# Of configs: what is done to the head's output. Then the logits of all answers are there at once (engine/head.py).
TO_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


@dataclass(frozen=True)
class ModelShape:
    name: str
    parameters: int
    body: int  # without embeddings and head; of a mixture's experts those that one token meets
    width: int
    layers: int
    vocabulary: int
    context: int | None
    weight_bytes: int
    adapters: dict[str, int]  # trainable parameters by lane
    element: int  # bytes of a number in a pass
    layer_bytes: int  # that a layer of a step which trains keeps for each token
    logits: int | None  # answer places whose logits are there at once; None: all of a pass
    unpacked: int  # bytes of the largest quantised weight, which is unpacked for every product; 0 without --quantize
    fetch: int  # bytes of weights that are not on this machine yet


def shape_of(
    name: str, config: Any, lanes: Sequence[Lane], dtype: Any, *, quantize: str | None, revision: str | None
) -> ModelShape:
    import torch
    from transformers import AutoModelForCausalLM

    from fewfit.engine.head import CHUNK

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        model.tie_weights()  # not all versions do so without weights
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"cannot be built from its config.json: {local.first_line(error)}", where=name, hint="check the model"
        ) from error
    text = text_config(config)
    outer = {id(m.weight) for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None}
    share = share_of_experts(text)
    total, body = 0, 0.0
    for at, parameter in model.named_parameters():
        total += parameter.numel()
        if id(parameter) in outer:
            continue
        body += parameter.numel() * (share if EXPERT.search(at) else 1.0)
    width = int(text.hidden_size)
    layers = max(1, len(layer_prefixes(model)))
    quantised = quantisable(model, outer) if quantize else []
    packed = sum(quantised)
    return ModelShape(
        name=name,
        parameters=total,
        body=round(body),
        width=width,
        layers=layers,
        vocabulary=int(text.vocab_size),
        context=context_length(config),
        weight_bytes=round(NF4 * packed) + (total - packed) * dtype.itemsize,
        adapters={lane.name: adapter_size(model, lane) for lane in lanes if lane.trains and lane.tune == "lora"},
        element=dtype.itemsize,
        layer_bytes=kept_elements(text, width) * dtype.itemsize,
        logits=None if any(getattr(text, key, None) not in (None, 1.0) for key in TO_LOGITS) else CHUNK,
        unpacked=max(quantised, default=0) * dtype.itemsize,
        fetch=0 if is_here(name, revision) else total * (getattr(config, "dtype", None) or torch.float32).itemsize,
    )


def quantisable(model: Any, outer: set[int]) -> list[int]:
    """Sizes of the weights that bitsandbytes packs: those of linear layers, but not the head's."""
    import torch
    from transformers.pytorch_utils import Conv1D

    kinds = (torch.nn.Linear, Conv1D)
    return [m.weight.numel() for m in model.modules() if isinstance(m, kinds) and id(m.weight) not in outer]


def kept_elements(text: Any, width: int) -> int:
    """Numbers of a token that one layer keeps for the backward: about a dozen of its width and four of the inner one
    (norms in fp32, every sum and product)."""
    inner = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * width
    meets = getattr(text, "num_experts_per_tok", None)
    if meets and share_of_experts(text) < 1:
        inner = meets * (getattr(text, "moe_intermediate_size", None) or inner)
    return 12 * width + 4 * inner


def share_of_experts(text: Any) -> float:
    """How much of a mixture's experts one token meets."""
    meets = getattr(text, "num_experts_per_tok", None)
    counts = (getattr(text, key, None) for key in ("num_experts", "num_local_experts", "n_routed_experts"))
    there = next((count for count in counts if count), None)
    return meets / there if meets and there else 1.0


def adapter_size(model: Any, lane: Lane) -> int:
    """Parameters of a lane's adapters: A and B for every adapted layer."""
    modules = dict(model.named_modules())
    return sum(lane.rank * sum(modules[name].weight.shape) for name in adapted_modules(model, lane))


def is_here(name: str, revision: str | None) -> bool:
    """Whether the weights are on this machine: a folder or file, an installed model, or what the cache holds."""
    if name in installed.NAMES or Path(name).expanduser().exists():
        return True
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json")
    return any(isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in files)
