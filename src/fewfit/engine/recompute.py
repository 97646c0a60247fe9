"""Layers that keep nothing but their input for the backward, and are run again when it comes to them.

Memory of a pass falls to a quarter (135M parameters, 256 tokens: 1,260 to 330 MB at four rows), and a training step
takes a third longer. The library's own checkpointing works in train mode only, and the model stays in eval mode. The
second run makes the same products in the same order as the first: gradients are the same to the last bit in fp32. (In
bf16 the first run rounds as predictions do, the second as training does.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from fewfit.engine.adapters import Wrapped
from fewfit.engine.rowmap import Pass
from fewfit.engine.targets import layer_prefixes

Around = Callable[[], AbstractContextManager[Any]]


class Again(torch.autograd.Function):
    """`call(x, second)` runs a layer; `around` stands round its second run as the pass stood round the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, call: Callable[[Tensor, bool], Tensor], around: Around) -> Tensor:
        ctx.call, ctx.around = call, around
        ctx.save_for_backward(x)
        return call(x, False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (saved,) = ctx.saved_tensors
        x = saved.detach().requires_grad_(ctx.needs_input_grad[0])
        with torch.enable_grad(), ctx.around():
            out = ctx.call(x, True)
        torch.autograd.backward([out], [grad])
        return x.grad, None, None, None


def keeping_its_input(
    layer: nn.Module,
    anchor: Tensor,
    learns: Callable[[Tensor], bool] = lambda x: True,
    standing: Callable[[], Around] = lambda: nullcontext,
) -> Callable[..., Any]:
    """A forward for `layer`. `learns` says of an input whether a backward will come through; `standing`, asked at the
    first run, gives what is to be put round the second. `anchor` carries the graph where the input carries none."""
    original = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs.get("hidden_states")
        if not torch.is_grad_enabled() or not isinstance(hidden, Tensor) or not learns(hidden):
            return original(*args, **kwargs)
        alone = True

        def call(x: Tensor, second: bool) -> Tensor:
            nonlocal alone
            # What the pass remembers for later, it remembers since the first run.
            some, named = (without_cache(args), without_cache_named(kwargs)) if second else (args, kwargs)
            out = original(x, *some[1:], **named) if some else original(**{**named, "hidden_states": x})
            alone = isinstance(out, Tensor)
            if not alone and (not isinstance(out, tuple) or len(out) != 1):
                raise TypeError(f"{type(layer).__name__} gives more than its states: it cannot be run again")
            return out if alone else out[0]

        out = Again.apply(hidden, anchor, call, standing())
        return out if alone else (out,)

    return forward


def without_cache(args: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(None if isinstance(value, Cache) else value for value in args)


def without_cache_named(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, Cache) else value for name, value in kwargs.items()}


def stacked(wrapped: Wrapped) -> bool:
    """For every decoder layer of a model that carries adapters of many lanes. False where it has no such layers."""
    modules = dict(wrapped.model.named_modules())
    prefixes = layer_prefixes(wrapped.model)

    def learns(prefix: str, x: Tensor) -> bool:
        touched = wrapped.now.touched if wrapped.now is not None else ()
        return x.requires_grad or any(group.names[0].startswith(prefix) for group in touched)

    for prefix in prefixes:
        layer = modules[prefix.removesuffix(".")]
        forward = keeping_its_input(
            layer, wrapped.anchor, partial(learns, prefix), lambda: partial(meeting, wrapped, wrapped.now)
        )
        wrapped.patch(layer, forward)
    return bool(prefixes)


@contextmanager
def meeting(wrapped: Wrapped, now: Pass | None) -> Iterator[None]:
    """Rows meet the adapters that they met in that pass."""
    before, wrapped.now = wrapped.now, now
    try:
        yield
    finally:
        wrapped.now = before
        if now is not None:
            now.stash = None


def alone(model: Any) -> Callable[[], None]:
    """For every decoder layer of a model that one lane has to itself; returns what takes it off again."""
    modules = dict(model.named_modules())
    layers = [modules[prefix.removesuffix(".")] for prefix in layer_prefixes(model)]
    anchor = torch.zeros((), device=next(model.parameters()).device, requires_grad=True)
    before = [layer.__dict__.get("forward") for layer in layers]
    for layer in layers:
        layer.forward = keeping_its_input(layer, anchor)

    def off() -> None:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                layer.__dict__.pop("forward", None)
            else:
                layer.forward = forward

    return off
