"""Which lane's matrices each row of a pass meets, and how a lane's matrices lie in its vector.

Every forward carries an explicit map of its rows; nothing is guessed from their order. Lanes alike that stand next to
each other are one group, so that their products are one `bmm` over a lane axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fewfit.engine.targets import initial_a

SCALE = 2.0  # alpha is 2r for every lane


class Place(NamedTuple):
    """Where one module's A_RD and B_OR begin in a lane's vector."""

    a: int
    b: int
    width: int
    out: int


class Layout:
    """How the adapters of one choice of modules and one rank lie in a vector."""

    def __init__(self, modules: dict[str, nn.Module], names: Sequence[str], rank: int):
        self.rank = rank
        self.places: dict[str, Place] = {}
        # PEFT's names in PEFT's order: the record of a lane is the same for every engine.
        self.parameters: dict[str, tuple[int, tuple[int, int]]] = {}
        self.size = 0
        for name in names:
            width, out = width_in_out(modules[name])
            a = self.size
            b = a + rank * width
            self.size = b + out * rank
            self.places[name] = Place(a, b, width, out)
            self.parameters[f"base_model.model.{name}.lora_A.default.weight"] = (a, (rank, width))
            self.parameters[f"base_model.model.{name}.lora_B.default.weight"] = (b, (out, rank))

    def view(self, flat_P: Tensor, name: str) -> Tensor:
        at, shape = self.parameters[name]
        return flat_P[at : at + shape[0] * shape[1]].view(shape)

    def fresh(self, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A as the one-lane learner draws it, B zero: no effect on the model."""
        flat_P = torch.zeros(self.size, dtype=dtype)
        for name in self.places:
            a_RD = self.view(flat_P, f"base_model.model.{name}.lora_A.default.weight")
            a_RD.copy_(initial_a(seed, name, tuple(a_RD.shape)))
        return flat_P.to(device)

    def matrices(self, flat_GP: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """A_GRD and B_GOR of several lanes' vectors."""
        place, lanes, rank = self.places[name], len(flat_GP), self.rank
        a_GRD = flat_GP[:, place.a : place.b].view(lanes, rank, place.width)
        b_GOR = flat_GP[:, place.b : place.b + place.out * rank].view(lanes, place.out, rank)
        return a_GRD, b_GOR


class Adapter:
    """One lane's matrices."""

    def __init__(self, layout: Layout, weight_P: Tensor):
        self.layout, self.weight_P = layout, weight_P


class LaneGroup:
    """Lanes next to each other in a pass, alike in layout and number of rows: their adapters are batched products.

    The leaves of the graph are copies of the lanes' matrices in the model's dtype; masters stay in fp32 at least.
    """

    def __init__(self, adapters: Sequence[Adapter], compute: torch.dtype):
        self.adapters = list(adapters)
        self.layout = adapters[0].layout
        self.flat_GP = torch.stack([one.weight_P for one in adapters]).to(compute)
        self.gradient_GP: Tensor | None = None
        self._leaves: dict[str, tuple[Tensor, Tensor]] = {}

    def leaves(self, name: str) -> tuple[Tensor, Tensor]:
        if name not in self._leaves:
            a_GRD, b_GOR = self.layout.matrices(self.flat_GP, name)
            self._leaves[name] = (a_GRD.detach().requires_grad_(), b_GOR.detach().requires_grad_())
        return self._leaves[name]

    def add(self, name: str, y_NO: Tensor, x_ND: Tensor) -> Tensor:
        """y + 2·B·A·x, each lane on its own share of the rows."""
        a_GRD, b_GOR = self.leaves(name)
        lanes = len(a_GRD)
        h_GnR = torch.bmm(x_ND.view(lanes, -1, x_ND.shape[1]), a_GRD.mT)
        y_GnO = torch.baddbmm(y_NO.view(lanes, -1, y_NO.shape[1]), h_GnR, b_GOR.mT, alpha=SCALE)
        return y_GnO.view(y_NO.shape)

    def collect(self, gradients: Iterable[Tensor | None]) -> None:
        """Gradients of all leaves, in their order, become one vector a lane; what no row reached has none."""
        self.gradient_GP = torch.zeros_like(self.flat_GP)
        some = iter(gradients)
        for name in self._leaves:
            for into in self.layout.matrices(self.gradient_GP, name):
                gradient = next(some)
                if gradient is not None:
                    into.copy_(gradient)

    def all_leaves(self) -> list[Tensor]:
        return [leaf for pair in self._leaves.values() for leaf in pair]


class Pass:
    """The explicit map of one forward: which adapter each row of the batch meets, None for rows without one."""

    def __init__(self, adapters_B: Sequence[Adapter | None], compute: torch.dtype):
        self.rows = len(adapters_B)
        runs: list[tuple[Adapter, int, int]] = []  # consecutive rows of one adapter
        for b, adapter in enumerate(adapters_B):
            if adapter is None:
                continue
            if runs and runs[-1][0] is adapter and runs[-1][2] == b:
                runs[-1] = (adapter, runs[-1][1], b + 1)
            else:
                runs.append((adapter, b, b + 1))
        self.groups: list[tuple[LaneGroup, int, int]] = []  # with the first of its rows and the one behind its last
        start = 0
        for end in range(1, len(runs) + 1):
            if end < len(runs) and alike(runs[end - 1], runs[end]):
                continue
            group = LaneGroup([one for one, _, _ in runs[start:end]], compute)
            self.groups.append((group, runs[start][1], runs[end - 1][2]))
            start = end
        self.touched = {name for group, _, _ in self.groups for name in group.layout.places}
        self.shared: Any = None  # which rows were one below the first adapter

    def add(self, name: str, y: Tensor, x: Tensor) -> Tensor:
        """What the frozen layer gave, with each row's own adapter on top."""
        y_NO, x_ND = y.reshape(-1, y.shape[-1]), x.reshape(-1, x.shape[-1])
        each, rest = divmod(len(x_ND), self.rows)
        if rest:
            raise RuntimeError(f"{name} saw {len(x_ND)} tokens in a pass of {self.rows} rows")
        parts: list[Tensor] = []
        at = 0
        for group, first, behind in self.groups:
            if name not in group.layout.places:
                continue
            start, end = first * each, behind * each
            if at < start:
                parts.append(y_NO[at:start])
            parts.append(group.add(name, y_NO[start:end], x_ND[start:end]))
            at = end
        if at < len(y_NO):
            parts.append(y_NO[at:])
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(y.shape)


def alike(one: tuple[Adapter, int, int], other: tuple[Adapter, int, int]) -> bool:
    return (
        one[0].layout is other[0].layout
        and one[2] == other[1]
        and one[2] - one[1] == other[2] - other[1]
        and one[0] is not other[0]
    )


def width_in_out(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, Conv1D):
        return int(module.nx), int(module.nf)
    return int(module.in_features), int(module.out_features)  # type: ignore[arg-type]
