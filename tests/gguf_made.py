"""A tiny Llama as a GGUF file, written with the `gguf` package: what a download would give, small."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from folders_made import VOCABULARY, trained_bytes
from models_made import tiny

CHAT = "{% for message in messages %}<bos>{{ message['content'] }}<eos>{% endfor %}"
NORMAL, CONTROL = 1, 3


def gguf_file(path: Path, *, seed: int = 0, architecture: str = "llama", **strings: str) -> Path:
    """The weights are those of `tiny("llama", seed)`; `strings` are further facts (their keys with `__` for `.`)."""
    from gguf import GGUFWriter

    model = tiny("llama", vocab_size=VOCABULARY, dtype=torch.float32, seed=seed)
    config = model.config
    tokenizer = json.loads(trained_bytes())
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in tokenizer["model"]["merges"]]

    writer = GGUFWriter(path, architecture)
    writer.add_name("Tiny Llama")
    for key, value in strings.items():
        writer.add_string(key.replace("__", "."), value)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token.startswith("<") and len(token) > 1 else NORMAL for token in tokens])
    writer.add_token_merges(merges)
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        part = next((heads[key] for key in heads if key in name), None)
        writer.add_tensor(gguf_name(name), (turned(weight, part) if part else weight).numpy().copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def turned(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp keeps the two halves of a rotary pair side by side."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def gguf_name(name: str) -> str:
    for theirs, ours in (
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
    ):
        name = name.replace(theirs, ours)
    return name
