"""What trains in one lane: parameters by PEFT's names, and a stock optimizer of their own.

The same for every learner. The stacked one's parameters are views of a lane's vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fewfit.engine import memory
from fewfit.engine.learner import LaneState
from fewfit.engine.rates import rate
from fewfit.grid import Lane

CLIP = 1.0


class Trained:
    def __init__(self, lane: Lane, named: Sequence[tuple[str, nn.Parameter]]):
        self.lane = lane
        self.parameters = dict(named)
        self.optimizer = stock_optimizer(lane, list(self.parameters.values()))
        self.steps = 0
        self.diverged = False

    def step(self, total: int) -> bool:
        """One update by the gradients that the parameters carry, of `total` planned. False where they are not finite,
        now or before: then nothing is updated any more, and the weights are still the last good ones."""
        parameters = list(self.parameters.values())
        norm = nn.utils.clip_grad_norm_(parameters, CLIP)
        self.diverged = self.diverged or not bool(torch.isfinite(norm))
        if not self.diverged:
            self.steps += 1
            for group in self.optimizer.param_groups:
                group["lr"] = rate(self.lane, self.steps, total)
            with memory.no_second_try():
                self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return not self.diverged

    def state(self) -> LaneState:
        tensors = {f"weight/{name}": copied(parameter) for name, parameter in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
                tensors[f"optimizer/{key}/{name}"] = copied(tensor)
        return LaneState(tensors, self.steps, self.diverged)

    def load(self, state: LaneState) -> None:
        self.steps, self.diverged = state.steps, state.diverged
        for full, tensor in state.tensors.items():
            where, _, rest = full.partition("/")
            if where == "weight":
                with torch.no_grad():
                    self.parameters[rest].copy_(tensor)
                continue
            key, _, name = rest.partition("/")
            parameter = self.parameters[name]
            # AdamW counts in a tensor, transformers' Adafactor in a plain int and its RMS in a float.
            if self.lane.optimizer == "adafactor" and key in ("step", "RMS"):
                self.optimizer.state[parameter][key] = int(tensor) if key == "step" else float(tensor)
            else:
                self.optimizer.state[parameter][key] = tensor.clone().to(parameter.device)


def stock_optimizer(lane: Lane, parameters: list[nn.Parameter]) -> Any:
    """Adafactor takes absolute rates: scaled by the parameter's own size LoRA's B would stay 0."""
    if lane.optimizer == "adamw":
        fused = parameters[0].device.type in ("cpu", "cuda", "mps")
        return torch.optim.AdamW(parameters, lr=lane.lr, weight_decay=lane.weight_decay, fused=fused)
    from transformers.optimization import Adafactor

    return Adafactor(
        parameters,
        lr=lane.lr,
        weight_decay=lane.weight_decay,
        scale_parameter=False,
        relative_step=False,
        warmup_init=False,
    )


def copied(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone()
