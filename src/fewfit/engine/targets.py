"""Which modules of a model carry adapters."""

from __future__ import annotations

import re
from typing import Any

from fewfit import draw
from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.models.configs import text_config

# PEFT takes no adapter there: kernels of these read the weight itself.
STATE_SPACES, UNFIT = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"), ("out_proj", "conv1d")
ATTENTION = re.compile(r"attn|attention")
VALUES = re.compile(r"\.(v|v_proj|value|value_proj|wv)$")  # as models call them


def adapted_modules(model: Any, lane: Lane) -> list[str]:
    """Names of the linear layers inside the decoder layers, in the model's order.

    Heads and embeddings stay as they are. In a mixture of experts only attention is adapted: experts are 3-D parameters
    there and routers call F.linear themselves, so an adapter on them would never run.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    # bitsandbytes and other quantised layers subclass nn.Linear, so isinstance covers them.
    kinds = (torch.nn.Linear, Conv1D)
    layers = layer_prefixes(model)
    if lane.layers == "upper-half":
        layers = layers[len(layers) // 2 :]
    head = model.get_output_embeddings()
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, kinds) and module is not head and any(name.startswith(prefix) for prefix in layers)
    ]
    if getattr(model.config, "model_type", None) in STATE_SPACES:
        names = [name for name in names if not name.endswith(UNFIT)]
    if is_mixture(model):
        names = [name for name in names if ATTENTION.search(name)]
    if lane.layers == "values":
        names = [name for name in names if VALUES.search(name)]
        if not names:
            message = f"no value matrices by themselves in {type(model).__name__}"
            raise UserError(message, hint="they are one matrix with others there: --layers all or upper-half")
    if not names:
        raise UserError(
            f"no linear layer to adapt in {type(model).__name__}", hint="use --tune full, or --methods zero-shot,icl"
        )
    return names


def layer_prefixes(model: Any) -> list[str]:
    """`model.layers.0.`, `model.layers.1.`, …: the list of as many blocks as its config says, which may be of several
    kinds; else the longest. Lists inside the blocks of another (experts) are no layers."""
    import torch

    told = getattr(text_config(model.config), "num_hidden_layers", None)
    lists: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and not name.startswith(tuple(f"{outer}." for outer in lists)):
            lists[name] = len(module)
    name = max(lists, key=lambda one: (lists[one] == told, lists[one]), default="")
    return [f"{name}.{index}." for index in range(lists.get(name, 0))]


def is_mixture(model: Any) -> bool:
    """Experts as 3-D parameters, or as a list of blocks beside a router."""
    return any(
        (parameter.dim() == 3 and "expert" in name) or ".experts." in name
        for name, parameter in model.named_parameters()
    )


def lora_config(model: Any, lane: Lane) -> Any:
    from peft import LoraConfig

    names = adapted_modules(model, lane)
    return LoraConfig(
        r=lane.rank,
        lora_alpha=2 * lane.rank,
        lora_dropout=0.0,
        bias="none",
        target_modules=names,
        fan_in_fan_out=any(type(model.get_submodule(name)).__name__ == "Conv1D" for name in names),
        task_type="CAUSAL_LM",
    )


def adapted_name(parameter: str) -> str:
    """`base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight` → `model.layers.0.self_attn.q_proj`."""
    return parameter.removeprefix("base_model.model.").partition(".lora_")[0]


def initial_a(seed: int, module: str, shape: tuple[int, ...]) -> Any:
    """LoRA's A as PEFT draws it (uniform, bound 1/sqrt(inputs)), but by hash of seed and module."""
    import torch

    generator = torch.Generator().manual_seed(draw.init_seed(seed, module))
    bound = shape[1] ** -0.5
    return torch.rand(shape, generator=generator) * (2 * bound) - bound


def adaptable(model: Any) -> list[str]:
    """All modules that any lane may adapt; none where the model has no linear layer (it may still be prompted)."""
    try:
        return adapted_modules(model, Lane(lr=1e-3, updates=1))
    except UserError:
        return []
