"""Products with frozen weights: torch's, or on one thread of a processor with tiles (`tiles.c`) ours.

Ours keep every weight twice more, in the order in which tiles want it forward and backward, so models whose copies
would take more than MOST bytes are left to torch. How a row is rounded depends on the row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fewfit.engine import native

MOST = 1 << 30
PARTS = 3  # bf16 numbers that make one of fp32


class Frozen:
    """Linear layers that see the same input. With `tiled` their products may be ours."""

    def __init__(self, modules: Sequence[nn.Module], tiled: bool):
        self.modules: tuple[Any, ...] = tuple(modules)
        self._tiled = tiled and all(type(module) in (nn.Linear, Conv1D) for module in modules)
        self._copies: dict[tuple[int, bool], tuple[Any, native.Tiles, Tensor]] = {}

    def tiled(self, x_ND: Tensor) -> bool:
        alike = all(module.weight.dtype == x_ND.dtype for module in self.modules)
        return self._tiled and alike and native.serves_tiles(x_ND)

    def times(self, x_ND: Tensor, members: Sequence[int] | None = None, onto_NO: Tensor | None = None) -> list[Tensor]:
        """Outputs of the layers, or of some of them; where there is one layer on top of `onto_NO`, rounded
        once (twice with a bias)."""
        members = range(len(self.modules)) if members is None else members
        modules = [self.modules[m] for m in members]
        if not self.tiled(x_ND):
            if onto_NO is None:
                return [linear(module, x_ND) for module in modules]
            (module,) = modules
            if module.bias is None:
                return [torch.addmm(onto_NO, x_ND, weight(module).t())]
            return [linear(module, x_ND).add_(onto_NO)]
        biases = [module.bias for module in modules]
        under = biases if onto_NO is None else [onto_NO]
        outs = native.tiles_product([x_ND], [[self._copy(m, False)] for m in members], under)
        if onto_NO is not None and biases[0] is not None:
            outs[0].add_(biases[0])
        return outs

    def back(self, grads: Sequence[Tensor], members: Sequence[int] | None = None) -> Tensor:
        """Gradient of the input from the outputs' gradients."""
        members = range(len(self.modules)) if members is None else members
        if self.tiled(grads[0]):
            return native.tiles_product(grads, [[self._copy(m, True) for m in members]], [None])[0]
        gx_ND: Tensor | None = None
        for m, grad_NO in zip(members, grads, strict=True):
            weight_OD = weight(self.modules[m])
            gx_ND = torch.mm(grad_NO, weight_OD) if gx_ND is None else gx_ND.addmm_(grad_NO, weight_OD)
        assert gx_ND is not None
        return gx_ND

    def copies(self, turned: bool) -> list[native.Tiles]:
        """All weights as tiles, of the layers themselves or turned for gradients."""
        return [self._copy(m, turned) for m in range(len(self.modules))]

    def _copy(self, member: int, turned: bool) -> native.Tiles:
        """The weight as tiles, made when it is first wanted and again where somebody changed the weight."""
        parameter = self.modules[member].weight
        version = 0 if parameter.is_inference() else parameter._version
        stamp = (parameter.data_ptr(), version, parameter.dtype)
        kept = self._copies.get((member, turned))
        if kept is None or kept[0] != stamp:
            weight_OD = weight(self.modules[member]).detach()
            made = native.tiles(weight_OD.t() if turned else weight_OD, parts(parameter))
            kept = stamp, made, weight_OD  # held, so that no other weight can come to lie where it lies
            self._copies[member, turned] = kept
        return kept[1]


def linear(module: Any, x_ND: Tensor) -> Tensor:
    if type(module) is Conv1D:
        return torch.addmm(module.bias, x_ND, module.weight)
    return nn.functional.linear(x_ND, module.weight, module.bias)


def weight(module: Any) -> Tensor:
    """Outputs × inputs."""
    return module.weight.t() if type(module) is Conv1D else module.weight


def parts(parameter: Tensor) -> int:
    """In how many bf16 numbers each of the weight's is held whole."""
    if parameter.dtype == torch.bfloat16:
        return 1
    pieces = parameter.detach().split(1024)  # a copy of all would be one more
    return 1 if all(torch.equal(some.bfloat16().to(some.dtype), some) for some in pieces) else PARTS


def copied_bytes(model: Any) -> int:
    """What copies of all linear weights would take; 0 where there will be none."""
    if next(model.parameters()).device.type != "cpu" or not native.has_tiles():
        return 0
    modules: dict[int, Any] = {
        id(module.weight): module for module in model.modules() if type(module) in (nn.Linear, Conv1D)
    }
    weights = [one.weight for one in modules.values()]
    weights = [one for one in weights if one.dtype in native.TILED and one.device.type == "cpu"]
    least = 2 * sum(2 * one.numel() for one in weights)
    if least > MOST:
        return 0
    size = 2 * sum(2 * one.numel() * parts(one) for one in weights)
    return size if size <= MOST else 0
