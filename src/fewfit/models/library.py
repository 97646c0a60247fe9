"""All that leans on how transformers looks inside, by what is there and not by its version.

What rests on it proves itself on the model at hand before it is used (engine/keyvalue.py, engine/prefix.py); where it
does not hold, the stock way is taken and `once` says so.
"""

from __future__ import annotations

import copy
import inspect
import sys
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

CACHE_NAMES = ("cache", "past_key_values")  # the newer one first

# ---- caches of keys and values ---------------------------------------------------------------------------------------


def cache_argument(model: Any, value: Any) -> dict[str, Any]:
    """A cache as the keyword that the model's forward takes it by, which `generate` hands on; nothing without one."""
    return {} if value is None else {cache_name(inspect.unwrap(type(model).forward)): value}


@cache
def cache_name(function: Callable[..., Any]) -> str:
    named = inspect.signature(function).parameters
    return next((name for name in CACHE_NAMES if name in named), CACHE_NAMES[-1])


def returned_cache(output: Any) -> Any:
    return next((value for name in CACHE_NAMES if (value := getattr(output, name, None)) is not None), None)


class KeptLayer(DynamicLayer):
    """Remembers the keys and values of one forward without copying them, sliding windows or not."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.is_initialized:
            raise RuntimeError("a cache that is kept sees one forward only")
        self.lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states.detach(), value_states.detach()
        return key_states, value_states


def kept_cache() -> Any:
    return Cache(layer_class_to_replicate=KeptLayer)


def filled_cache(layers: Sequence[tuple[Tensor, Tensor]]) -> Any:
    """A cache that holds these keys and values, layer by layer."""
    made = DynamicCache()
    for index, (keys, values) in enumerate(layers):
        made.update(keys, values, index)
    return made


class RoomyLayer(DynamicLayer):
    """Has room for what will be written: a layer that is made anew for each token copies all that it holds."""

    def __init__(self, keys: Tensor, values: Tensor, held: int):
        super().__init__()
        self.rooms, self.is_initialized = (keys, values), True
        self.dtype, self.device = keys.dtype, keys.device
        self.keys, self.values = (room[:, :, :held] for room in self.rooms)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        held = self.get_seq_length()
        end = held + key_states.shape[2]
        for room, states in zip(self.rooms, (key_states, value_states), strict=True):
            room[:, :, held:end] = states
        self.keys, self.values = (room[:, :, :end] for room in self.rooms)
        return self.keys, self.values


def roomy_cache(rooms: Sequence[tuple[Tensor, Tensor]], held: int) -> Any:
    """Rooms for keys and values, layer by layer, of which the first `held` places are taken."""
    made = DynamicCache()
    made.layers = [RoomyLayer(keys, values, held) for keys, values in rooms]
    return made


def copyable_layers(remembered: Any) -> tuple[Any, ...]:
    """The layers of a cache that a forward returned, if all of them are keys and values by position; else none."""
    layers = tuple(getattr(remembered, "layers", ()))
    known = (DynamicLayer, DynamicSlidingWindowLayer)
    return layers if all(type(layer) in known and layer.is_initialized for layer in layers) else ()


def cache_of_copies(layers: Sequence[Any], rows: int) -> Any:
    """A cache for so many rows. Layers grow by making new tensors, so all rows and calls may share these."""
    made = DynamicCache()
    made.layers = []
    for layer in layers:
        fresh = copy.copy(layer)
        fresh.keys = layer.keys.expand(rows, -1, -1, -1)
        fresh.values = layer.values.expand(rows, -1, -1, -1)
        made.layers.append(fresh)
    return made


# ---- proofs ----------------------------------------------------------------------------------------------------------

silent = False  # helper processes say nothing of their own
_proofs: weakref.WeakKeyDictionary[Any, dict[str, bool]] = weakref.WeakKeyDictionary()


def proven(model: Any, what: str, proof: Callable[[Any], bool], *, aloud: bool = True) -> bool:
    """Whether a short cut gives on this model what the stock way gives; tried once a model. Any error is a no, and said
    where it is one of transformers' version rather than of the model's kind (`aloud`)."""
    known = _proofs.setdefault(model, {})
    if what not in known:
        known[what] = False  # also for what the proof itself calls
        try:
            known[what] = proof(model)
            reason = "it does not give the stock way's numbers"
        except (MemoryError, torch.OutOfMemoryError):
            del known[what]  # that says nothing of the model
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if not known[what] and aloud:
            once(f"{type(model).__name__}: {what} is not used here ({reason})")
    return known[what]


@cache
def once(message: str) -> None:
    if not silent:
        print(f"fewfit: {message}", file=sys.stderr)


def tolerance(model: Any) -> float:
    """How far two ways to the same likelihood may lie apart, as a part of it. In bf16 Gemma 3 270M is 0.013 from
    itself, in fp32 no model is more than a millionth."""
    return 0.05 if model.dtype.itemsize == 2 else 1e-3


# ---- flags -----------------------------------------------------------------------------------------------------------


def checkpoints(model: Any) -> bool:
    """Whether the model came with checkpointing on."""
    name = "is_activation_checkpointing" if hasattr(type(model), "is_activation_checkpointing") else None
    return bool(getattr(model, name or "is_gradient_checkpointing", False))
