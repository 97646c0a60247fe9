"""Which modules of a model carry adapters."""

from __future__ import annotations

import re
from typing import Any

from fewfit.errors import UserError
from fewfit.grid import Lane

ATTENTION = re.compile(r"attn|attention")


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
    if is_mixture(model):
        names = [name for name in names if ATTENTION.search(name)]
    if not names:
        raise UserError(
            f"no linear layer to adapt in {type(model).__name__}", mend="use --tune full, or --methods zero-shot,icl"
        )
    return names


def layer_prefixes(model: Any) -> list[str]:
    """`model.layers.0.`, `model.layers.1.`, …: the longest module list of equal blocks is the decoder."""
    import torch

    best: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len({type(m) for m in module}) == 1 and len(module) > len(best):
            best = [f"{name}.{index}." for index in range(len(module))]
    return best


def is_mixture(model: Any) -> bool:
    """Experts as 3-D parameters, or as a list of blocks beside a router."""
    return any(
        (parameter.dim() == 3 and "expert" in name) or ".experts." in name
        for name, parameter in model.named_parameters()
    )
