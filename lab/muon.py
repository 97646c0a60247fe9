"""Muon for matrices of equal shape at once, AdamW for the rest; both keep their state in plain dicts of tensors.

Muon: momentum, then the nearest orthogonal matrix by five Newton-Schulz steps (Jordan et al. 2024). Matrices of one
shape are stacked, so that a step is a few dozen batched products instead of a thousand small ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(stack_NRC: Tensor, steps: int = 5) -> Tensor:
    """Every matrix of the stack with its singular values brought near 1."""
    a, b, c = COEFFICIENTS
    tall = stack_NRC.shape[1] > stack_NRC.shape[2]
    x = stack_NRC.transpose(1, 2) if tall else stack_NRC
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    x = x.to(torch.bfloat16)
    for _ in range(steps):
        g = x @ x.transpose(1, 2)
        x = a * x + (b * g + c * (g @ g)) @ x
    x = x.float()
    return x.transpose(1, 2) if tall else x


def is_matrix(name: str) -> bool:
    return "_proj" in name


class Optimizer:
    """One step for all parameters. `rate` scales both rates; the caller clips."""

    def __init__(self, params: dict[str, Tensor], muon: float = 0.01, adam: float = 1.5e-3) -> None:
        self.params, self.muon, self.adam = params, muon, adam
        self.t = 0
        shapes = sorted({tuple(p.shape) for n, p in params.items() if is_matrix(n)})
        self.groups = [[n for n, p in params.items() if is_matrix(n) and tuple(p.shape) == s] for s in shapes]
        self.rest = [n for n in params if not is_matrix(n)]
        self.momentum = [
            torch.zeros(len(g), *s, device=params[g[0]].device) for g, s in zip(self.groups, shapes, strict=True)
        ]
        self.first = {n: torch.zeros_like(params[n]) for n in self.rest}
        self.second = {n: torch.zeros_like(params[n]) for n in self.rest}

    def _gradient(self, name: str) -> Tensor:
        gradient = self.params[name].grad
        assert gradient is not None, name
        return gradient

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self.t += 1
        for group, momentum in zip(self.groups, self.momentum, strict=True):
            gradient = torch.stack([self._gradient(n) for n in group])
            momentum.lerp_(gradient, 0.05)
            update = orthogonalise(gradient.lerp(momentum, 0.95))
            update *= self.muon * rate * max(1.0, update.shape[1] / update.shape[2]) ** 0.5
            for n, u in zip(group, update, strict=True):
                self.params[n].sub_(u)
        b1, b2 = 0.9, 0.98
        for n in self.rest:
            gradient = self._gradient(n)
            self.first[n].lerp_(gradient, 1 - b1)
            self.second[n].lerp_(gradient.square(), 1 - b2)
            denominator = (self.second[n] / (1 - b2**self.t)).sqrt_().add_(1e-8)
            self.params[n].addcdiv_(self.first[n], denominator, value=-self.adam * rate / (1 - b1**self.t))

    def state(self) -> dict:
        return {"t": self.t, "momentum": self.momentum, "first": self.first, "second": self.second}

    def restore(self, state: dict) -> None:
        self.t = state["t"]
        self.momentum, self.first, self.second = state["momentum"], state["first"], state["second"]
