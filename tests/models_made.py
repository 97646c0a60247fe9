"""Tiny random models of the architectures that fewfit is tested on, made on the spot: no download, milliseconds each.

    model = tiny("llama")                       # fp32, vocabulary 300
    model = tiny("gemma2", vocab_size=512, dtype=torch.float64, seed=3)

Widths, heads and layers differ from one another on purpose, so that a swapped axis fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as tf

WINDOW = 24  # of the models with sliding windows: shorter than the longer test rows
LENGTH = 256

_COMMON: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LENGTH,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}


def _of(config: Any, **settings: Any) -> Callable[[int], Any]:
    return lambda vocab_size: config(**{**_COMMON, **settings, "vocab_size": vocab_size})


_CONFIGS: dict[str, Callable[[int], Any]] = {
    "llama": _of(tf.LlamaConfig),
    "qwen3": _of(tf.Qwen3Config, head_dim=16, tie_word_embeddings=True),
    "gemma2": _of(tf.Gemma2Config, head_dim=16, sliding_window=WINDOW, query_pre_attn_scalar=16),
    "gemma3": _of(
        tf.Gemma3TextConfig, head_dim=16, sliding_window=WINDOW, sliding_window_pattern=2, query_pre_attn_scalar=16
    ),
    "mistral": _of(tf.MistralConfig, sliding_window=WINDOW),
    "phi3": _of(tf.Phi3Config, original_max_position_embeddings=LENGTH),
    "gpt2": lambda vocab_size: tf.GPT2Config(
        vocab_size=vocab_size, n_embd=40, n_layer=3, n_head=4, n_positions=LENGTH, bos_token_id=1, eos_token_id=2
    ),
    "gpt-neox": _of(tf.GPTNeoXConfig, hidden_size=64, intermediate_size=96, num_hidden_layers=2),
    "olmo2": _of(tf.Olmo2Config),
    "mixtral": _of(tf.MixtralConfig, num_local_experts=4, num_experts_per_tok=2),
    "qwen3-moe": _of(tf.Qwen3MoeConfig, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=40),
}
NAMES: tuple[str, ...] = tuple(_CONFIGS)
MIXTURES = ("mixtral", "qwen3-moe")
WINDOWED = ("gemma2", "gemma3", "mistral")


def tiny(name: str, vocab_size: int = 300, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    """A random model in eval mode. Weights are spread wider than usual, so that arg-maxes are not ties."""
    config = _CONFIGS[name](vocab_size)
    # The caller's random state is its own.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = tf.AutoModelForCausalLM.from_config(config, attn_implementation=attention(name))
        if name in MIXTURES and dtype == torch.float64:
            model.set_experts_implementation("eager")  # the grouped product knows no fp64
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() >= 2:
                    parameter.normal_(0.0, 1.6 * parameter.shape[-1] ** -0.5)
    return model.to(dtype).eval()


def attention(name: str) -> str:
    """Gemma 2 soft-caps its attention scores, which sdpa cannot."""
    return "eager" if name == "gemma2" else "sdpa"


def make(name: str) -> tuple[Any, None]:
    """The model, and no tokenizer: engine tests speak in tokens."""
    return tiny(name), None
