"""The tokenizer: byte-level BPE over the little language, one token for each of its words."""

from __future__ import annotations

from pathlib import Path
from random import Random

from lab import words as W

SPECIAL = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
SIZE = 3200
# Field names of layouts begin lines, so they are wanted without a space.
FIELDS = (
    *("Input", "Output", "Question", "Answer", "Text", "Label", "Labels", "Words", "Task", "Q", "A", "In", "Out"),
    *("input", "output", "text", "label", "x", "y"),
)
PATTERN = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\n+|[^\S\n]+"

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] | trim }}<|end|>{% endgeneration %}"
    "{% else %}<|{{ message['role'] }}|>{{ message['content'] | trim }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def _training_text() -> list[str]:
    """Every word with and without its space, weighted so that whole words become tokens and syllables their parts."""
    rng = Random(0)
    lines: list[str] = []
    values = [value for pair in W.ATTRIBUTES.values() for value in pair]
    for word in (*W.LEXICON, *W.KINDS, *W.LABELS, *W.NAMES, *values):
        lines += [f" {word}", f"\n{word}"] * 40
    for word in W.ENGLISH:
        lines += [f" {word}"] * 40 + [f"\n{word}"] * 10
    for word in FIELDS:
        lines += [f"\n{word}"] * 200
    for syllable in W.SYLLABLES:
        lines += [f" {syllable}", f"\n{syllable}"] * 30
    for _ in range(20000):
        word = rng.choice(W.SYLLABLES) + rng.choice(W.ENDINGS)
        lines.append(f" {word}" if rng.random() < 0.7 else f"\n{word}")
    lines += ["\n\n", " ->", " =>", ".\n", ", ", ":", ";", " |", "?", " =", " +", " -", " (", ")", '"', ' "', "'"] * 200
    return lines


def train(size: int = SIZE):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_text(), trainer)
    return tokenizer


def wrapped(tokenizer=None):
    """The tokenizer as `transformers` loads it."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer or train(),
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast


def load(folder: Path | None = None):
    """The bare tokenizer from a model folder, or trained anew: the same either way."""
    from tokenizers import Tokenizer

    if folder is not None and (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    return train()


def twins(tokenizer) -> list[tuple[int, int]]:
    """Ids of the same letters with and without a space before them."""
    vocab = tokenizer.get_vocab()
    return sorted((vocab["Ġ" + text], i) for text, i in vocab.items() if "Ġ" + text in vocab)
