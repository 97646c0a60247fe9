"""AdamW and Adafactor for lanes, each lane one flat vector: own step count, clipping and rate, one call a lane.

Both follow what the one-lane learner uses: torch's AdamW, and transformers' Adafactor at absolute rates (scaling by the
parameter's own size would hold LoRA's B, which starts at zero, where it is).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from fewfit.engine.rowmap import Layout
from fewfit.grid import Lane

CLIP = 1.0
BETAS, EPS = (0.9, 0.999), 1e-8  # torch.optim.AdamW
DECAY, TINY, THRESHOLD = -0.8, 1e-30, 1.0  # transformers.optimization.Adafactor


def clip(gradient_P: Tensor) -> bool:
    """Scales one lane's gradient to norm 1 at most, in place. False where it is not finite: nothing may be updated."""
    norm = torch.linalg.vector_norm(gradient_P)
    if not bool(torch.isfinite(norm)):
        return False
    gradient_P.mul_((CLIP / (norm + 1e-6)).clamp(max=1.0))
    return True


class Optimizer(Protocol):
    """The state of one lane beside its weights."""

    def step(self, weight_P: Tensor, gradient_P: Tensor, steps: int, lr: float) -> None:
        """Update number `steps` (from 1) of this lane."""

    def record(self, steps: int) -> dict[str, Tensor]:
        """The state by parameter, as the stock optimizer would keep it: `optimizer/<key>/<parameter>`."""

    def load(self, tensors: dict[str, Tensor]) -> None: ...


class AdamW:
    def __init__(self, layout: Layout, lane: Lane, like_P: Tensor):
        self.layout, self.decay = layout, lane.weight_decay
        self.mean_P = torch.zeros_like(like_P)
        self.square_P = torch.zeros_like(like_P)
        self.count = torch.zeros((), dtype=torch.float32, device=like_P.device)

    def step(self, weight_P: Tensor, gradient_P: Tensor, steps: int, lr: float) -> None:
        self.count.fill_(steps - 1)
        adamw(
            [weight_P],
            [gradient_P],
            [self.mean_P],
            [self.square_P],
            [],
            [self.count],
            fused=weight_P.device.type in ("cpu", "cuda", "mps"),
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=lr,
            weight_decay=self.decay,
            eps=EPS,
            maximize=False,
        )

    def record(self, steps: int) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for name in self.layout.parameters if steps else ():
            out[f"optimizer/step/{name}"] = torch.tensor(float(steps))
            out[f"optimizer/exp_avg/{name}"] = copied(self.layout.view(self.mean_P, name))
            out[f"optimizer/exp_avg_sq/{name}"] = copied(self.layout.view(self.square_P, name))
        return out

    def load(self, tensors: dict[str, Tensor]) -> None:
        for name in self.layout.parameters:
            for key, flat_P in (("exp_avg", self.mean_P), ("exp_avg_sq", self.square_P)):
                kept = tensors.get(f"optimizer/{key}/{name}")
                if kept is not None:
                    self.layout.view(flat_P, name).copy_(kept)


class Adafactor:
    """Matrices of one shape at even distances in the vector (the same layer in every block) are one product."""

    def __init__(self, layout: Layout, lane: Lane, like_P: Tensor):
        self.layout, self.decay = layout, lane.weight_decay
        self.rms: dict[str, float] = {}
        self.series = evenly_spaced(layout)
        self.rows = [like_P.new_zeros(len(names), shape[0]) for names, _, _, shape in self.series]
        self.columns = [like_P.new_zeros(len(names), shape[1]) for names, _, _, shape in self.series]

    def step(self, weight_P: Tensor, gradient_P: Tensor, steps: int, lr: float) -> None:
        beta = 1.0 - steps**DECAY
        with torch.no_grad():
            for (names, at, apart, shape), row_MR, column_MC in zip(self.series, self.rows, self.columns, strict=True):
                size, stride = (len(names), *shape), (apart, shape[1], 1)
                weight_MRC, gradient_MRC = (
                    flat_P.as_strided(size, stride, flat_P.storage_offset() + at) for flat_P in (weight_P, gradient_P)
                )
                self.rms.update(zip(names, rms(weight_MRC).flatten().tolist(), strict=True))
                square_MRC = gradient_MRC.square().add_(TINY)
                row_MR.mul_(beta).add_(square_MRC.mean(dim=-1), alpha=1.0 - beta)
                column_MC.mul_(beta).add_(square_MRC.mean(dim=-2), alpha=1.0 - beta)
                by_row = (row_MR / row_MR.mean(dim=-1, keepdim=True)).rsqrt_().unsqueeze(-1)
                update_MRC = by_row * column_MC.unsqueeze(-2).rsqrt()
                update_MRC.mul_(gradient_MRC)
                update_MRC.div_((rms(update_MRC) / THRESHOLD).clamp_(min=1.0)).mul_(lr)
                if self.decay:
                    weight_MRC.add_(weight_MRC, alpha=-self.decay * lr)
                weight_MRC.sub_(update_MRC)

    def record(self, steps: int) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for (names, _, _, _), row_MR, column_MC in zip(self.series, self.rows, self.columns, strict=True):
            for m, name in enumerate(names if steps else ()):
                out[f"optimizer/step/{name}"] = torch.tensor(steps, dtype=torch.float64)
                out[f"optimizer/exp_avg_sq_row/{name}"] = copied(row_MR[m])
                out[f"optimizer/exp_avg_sq_col/{name}"] = copied(column_MC[m])
                out[f"optimizer/RMS/{name}"] = torch.tensor(self.rms.get(name, 0.0), dtype=torch.float64)
        return out

    def load(self, tensors: dict[str, Tensor]) -> None:
        for (names, _, _, _), row_MR, column_MC in zip(self.series, self.rows, self.columns, strict=True):
            for m, name in enumerate(names):
                if f"optimizer/exp_avg_sq_row/{name}" in tensors:
                    row_MR[m].copy_(tensors[f"optimizer/exp_avg_sq_row/{name}"])
                    column_MC[m].copy_(tensors[f"optimizer/exp_avg_sq_col/{name}"])
                    self.rms[name] = float(tensors[f"optimizer/RMS/{name}"])


def optimizer(layout: Layout, lane: Lane, like_P: Tensor) -> Any:
    return (AdamW if lane.optimizer == "adamw" else Adafactor)(layout, lane, like_P)


def rms(matrix_MRC: Tensor) -> Tensor:
    size = matrix_MRC.shape[-1] * matrix_MRC.shape[-2]
    return torch.linalg.vector_norm(matrix_MRC, dim=(-2, -1), keepdim=True) / size**0.5


def evenly_spaced(layout: Layout) -> list[tuple[list[str], int, int, tuple[int, int]]]:
    """The parameters as (names, first place, distance, shape)."""
    by_end: dict[tuple[str, tuple[int, int]], list[tuple[int, str]]] = {}
    for name, (at, shape) in layout.parameters.items():
        end = ".".join(part for part in name.split(".") if not part.isdigit())
        by_end.setdefault((end, shape), []).append((at, name))
    out: list[tuple[list[str], int, int, tuple[int, int]]] = []
    for (_, shape), found in by_end.items():
        found.sort()
        gaps = {b[0] - a[0] for a, b in pairwise(found)}
        if len(gaps) <= 1:
            out.append(([name for _, name in found], found[0][0], gaps.pop() if gaps else shape[0] * shape[1], shape))
        else:
            out += [([name], at, shape[0] * shape[1], shape) for at, name in found]
    return out


def copied(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone()


__all__: Sequence[str] = ("AdamW", "Adafactor", "Optimizer", "clip", "optimizer")
