"""Models for benchmarks: real ones that come by package, and shapes with random weights."""

from __future__ import annotations

from typing import Any

import torch

SHAPES: dict[str, dict[str, Any]] = {
    # 5.1 million parameters without embeddings: the size of the bundled models.
    "5m": {
        "kind": "llama",
        "vocab_size": 4096,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    },
    # SmolLM2-135M.
    "135m": {
        "kind": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    # Qwen3-0.6B.
    "0.6b": {
        "kind": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    },
}


def shaped(
    name: str,
    *,
    layers: int | None = None,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    meta: bool = False,
) -> Any:
    """`meta`: without weights, to count. In fp32 weights are such as models are published with, in bf16. A folder is
    that of a real model."""
    import transformers

    if "/" in name:
        if not meta:
            how = {"dtype": dtype, "attn_implementation": attention}
            return transformers.AutoModelForCausalLM.from_pretrained(name, **how).eval()
        with torch.device("meta"):
            config = transformers.AutoConfig.from_pretrained(name)
            return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    settings = {"max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2, **SHAPES[name]}
    kind = {"llama": transformers.LlamaConfig, "qwen3": transformers.Qwen3Config}[settings.pop("kind")]
    if layers is not None:
        settings["num_hidden_layers"] = layers
    torch.manual_seed(0)
    with torch.device("meta" if meta else "cpu"):
        model = transformers.AutoModelForCausalLM.from_config(
            kind(**settings), dtype=dtype, attn_implementation=attention
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    return model.eval()


def base_parameters(model: Any) -> int:
    """Without embeddings and head: what a token is multiplied by in every layer."""
    outside = {id(p) for m in (model.get_input_embeddings(), model.get_output_embeddings()) for p in m.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in outside)
