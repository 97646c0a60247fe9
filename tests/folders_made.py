"""A byte-level tokenizer and model folders, made on the spot: what a download would give, small."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from models_made import tiny
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 300
SPECIALS = ["<pad>", "<bos>", "<eos>"]  # 0, 1 and 2, as in models_made
WORDS = "Input: the colour of it\nOutput: red\n\nInput: another question asked\nOutput: blue green answer\n\n" * 4


@lru_cache(maxsize=1)
def trained_bytes() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(token, special=True) for token in SPECIALS],
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    return tokenizer.to_str()


def byte_tokenizer(chat_template: str | None = None) -> Any:
    """256 bytes, three special tokens and a few merges: any text goes in and comes out."""
    tokenizer = tf.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(trained_bytes()), pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    return tokenizer


def model_folder(folder: Path, name: str = "llama", *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """A model and its tokenizer on disk."""
    tiny(name, vocab_size=VOCABULARY, dtype=dtype, seed=seed).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
