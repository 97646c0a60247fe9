"""One row of tokens in which each stretch meets its own adapter: bundles that are served at once over one model.

    wrapped = Wrapped(model, all_names([one, other]))
    with wrapped.using(Adapted([(one, 12), (None, 3), (other, 7)])):   # 22 tokens
        model(ids_1T)

Training has `rowmap.py`, whose rows are whole sequences and whose matrices carry gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fewfit.errors import UserError
from fewfit.models.lent import adapter_weights

BEFORE, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"  # how PEFT names them


@dataclass(frozen=True, eq=False)
class Matrices:
    """An adapter by the names of the modules that it stands on: A_RD, and B_OR times its scale."""

    pairs: Mapping[str, tuple[Tensor, Tensor]]


class Adapted:
    """Of one forward: runs of tokens in their order, each with its adapter or none."""

    def __init__(self, runs: Sequence[tuple[Matrices | None, int]]):
        self.runs: list[tuple[Matrices, int, int]] = []
        end = 0
        for adapter, tokens in runs:
            start, end = end, end + tokens
            if adapter is None:
                continue
            if self.runs and self.runs[-1][0] is adapter and self.runs[-1][2] == start:
                start = self.runs.pop()[1]
            self.runs.append((adapter, start, end))
        self.tokens = end
        self.touched = {name for adapter, _, _ in self.runs for name in adapter.pairs}

    def add(self, name: str, y: Tensor, x: Tensor) -> Tensor:
        """What the frozen layer gave, with each token's own adapter on top."""
        y_TO, x_TD = y.reshape(-1, y.shape[-1]), x.reshape(-1, x.shape[-1])
        if len(x_TD) != self.tokens:
            raise RuntimeError(f"{name} saw {len(x_TD)} tokens in a pass of {self.tokens}")
        for adapter, start, end in self.runs:
            if name in adapter.pairs:
                a_RD, b_OR = adapter.pairs[name]
                y_TO[start:end].addmm_(x_TD[start:end] @ a_RD.mT, b_OR.mT)
        return y_TO.view(y.shape)


def read_adapter(folder: Path, model: Any) -> Matrices:
    """A bundle's, in the numbers and at the place of the model."""
    from peft import LoraConfig, PeftConfig

    config = PeftConfig.from_pretrained(str(folder))
    weights = adapter_weights(folder)
    modules = dict(model.named_modules())
    names = {key.removeprefix(BEFORE).removesuffix(A) for key in weights if key.endswith(A)}
    known = {f"{BEFORE}{name}{end}" for name in names for end in (A, B)}
    plain = isinstance(config, LoraConfig) and not (config.use_dora or config.use_rslora or config.rank_pattern)
    if not plain or set(weights) != known or not names <= set(modules):
        raise UserError(
            "the adapter is no plain LoRA of this model", where=str(folder), hint="serve a bundle as fewfit wrote it"
        )
    scale = config.lora_alpha / config.r
    weight = next(model.parameters())
    pairs = {}
    for name in sorted(names):
        a_RD, b_OR = (weights[f"{BEFORE}{name}{end}"].to(weight.device, weight.dtype) for end in (A, B))
        pairs[name] = (a_RD.contiguous(), (b_OR * scale).contiguous())
    return Matrices(pairs)


def all_names(adapters: Iterable[Matrices]) -> list[str]:
    return sorted({name for one in adapters for name in one.pairs})
