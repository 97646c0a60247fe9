"""What a config.json may say. transformers takes most of it as it stands, and fails far from it."""

from __future__ import annotations

from typing import Any

from fewfit.examples.text import shorten

LARGEST = 2**31 - 1
COUNTS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "max_position_embeddings",
)  # fmt: skip
MOST = {"num_hidden_layers": 10_000}  # each is an object, before any weight is looked for


def refuse_impossible(config: Any) -> None:
    """Raises ValueError where sizes are no sizes or do not fit one another."""
    named = getattr(config, "architectures", None)
    if named is not None and not (isinstance(named, list) and all(isinstance(one, str) for one in named)):
        raise ValueError(f"architectures is {shorten(repr(named))}, and should be a list of names")
    inner = config.get_text_config()
    sizes = {name: getattr(inner, name, None) for name in COUNTS}
    for name, value in sizes.items():
        most = MOST.get(name, LARGEST)
        if value is None or isinstance(value, list | tuple):  # some families give one for every layer
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"{name} is {shorten(repr(value))}, and should be a whole number from 1 to {most:,}")
    width, heads, shared = (sizes[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    if isinstance(width, int) and isinstance(heads, int) and sizes["head_dim"] is None and width % heads:
        raise ValueError(f"hidden_size {width} cannot be divided among {heads} heads")
    if isinstance(heads, int) and isinstance(shared, int) and heads % shared:
        raise ValueError(f"{heads} heads cannot be divided among {shared} of keys and values")
    if isinstance(head := sizes["head_dim"], int) and head % 2:
        raise ValueError(f"head_dim {head} is odd")
    kinds, layers = getattr(inner, "layer_types", None), sizes["num_hidden_layers"]
    if isinstance(kinds, list) and isinstance(layers, int) and len(kinds) != layers:
        raise ValueError(f"{len(kinds)} layer_types for {layers} layers")
    refuse_rope(getattr(inner, "rope_parameters", None))


def text_config(config: Any) -> Any:
    """Of models that see and hear, the part that reads and writes."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def context_length(config: Any) -> int | None:
    """None where nothing is said, and for a model behind an endpoint."""
    return getattr(text_config(config), "max_position_embeddings", None)


def refuse_rope(parameters: Any) -> None:
    """A type that transformers has no function for, and a base that is no number, are found when the model is built."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    if not isinstance(parameters, dict):
        return
    for part in (parameters, *(value for value in parameters.values() if isinstance(value, dict))):
        kind, theta = part.get("rope_type", "default"), part.get("rope_theta", 1.0)
        if kind not in ("default", *ROPE_INIT_FUNCTIONS):
            raise ValueError(f"rope_type is {shorten(repr(kind))}")
        if isinstance(theta, bool) or not isinstance(theta, int | float) or not 0 < theta < float("inf"):
            raise ValueError(f"rope_theta is {shorten(repr(theta))}, and should be a number above 0")


def reason_of(error: BaseException) -> str:
    """An error of another library on one line, not too long."""
    return shorten(str(error), 200) or type(error).__name__
