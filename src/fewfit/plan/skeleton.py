"""The Llama family's layers by their config, without weights and without the library's classes.

Those take half a second to import, and a plan should be there in a few. Other architectures are built by the library.
"""

from __future__ import annotations

from typing import Any

LAYERS = {
    "llama": "LlamaDecoderLayer",
    "mistral": "MistralDecoderLayer",
    "qwen2": "Qwen2DecoderLayer",
    "qwen3": "Qwen3DecoderLayer",
}


def skeleton(config: Any) -> Any:
    """A module with the model's names and shapes on the meta device; None for other families."""
    kind = getattr(config, "model_type", None)
    if kind not in LAYERS or getattr(config, "auto_map", None):
        return None
    import torch
    from torch import nn

    width, vocabulary = config.hidden_size, config.vocab_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = head * config.num_attention_heads, head * config.num_key_value_heads
    inner = config.intermediate_size
    bias = bool(getattr(config, "attention_bias", False)) and kind in ("llama", "qwen3")
    mlp_bias = bool(getattr(config, "mlp_bias", False)) and kind == "llama"

    Layer: Any = type(LAYERS[kind], (nn.Module,), {})  # by its name the layers are known that fewfit runs itself

    def norm(size: int) -> nn.Module:
        return nn.RMSNorm(size)

    def layer() -> nn.Module:
        attention = nn.Module()
        for name, out in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            attention.add_module(name, nn.Linear(width, out, bias=bias or kind == "qwen2"))
        attention.o_proj = nn.Linear(queries, width, bias=bias)
        if kind == "qwen3":
            attention.q_norm, attention.k_norm = norm(head), norm(head)
        mlp = nn.Module()
        mlp.gate_proj, mlp.up_proj = nn.Linear(width, inner, bias=mlp_bias), nn.Linear(width, inner, bias=mlp_bias)
        mlp.down_proj = nn.Linear(inner, width, bias=mlp_bias)
        made: nn.Module = Layer()
        made.self_attn, made.mlp = attention, mlp
        made.input_layernorm, made.post_attention_layernorm = norm(width), norm(width)
        return made

    class Skeleton(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Module()
            self.model.embed_tokens = nn.Embedding(vocabulary, width)
            self.model.layers = nn.ModuleList(layer() for _ in range(config.num_hidden_layers))
            self.model.norm = norm(width)
            self.lm_head = nn.Linear(width, vocabulary, bias=False)
            if config.tie_word_embeddings:
                self.lm_head.weight = self.model.embed_tokens.weight
            self.config = config

        def get_input_embeddings(self) -> Any:
            return self.model.embed_tokens

        def get_output_embeddings(self) -> Any:
            return self.lm_head

    with torch.device("meta"):
        return Skeleton()
