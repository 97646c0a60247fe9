"""Tokenizers made on the spot: no network, and the pre-tokenizers that real models have."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[1]
BBH = ROOT.parent / "shared" / "data" / "bbh"

# Qwen 2's and 3's pattern: ` ?[^\s\p{L}\p{N}]+[\r\n]*` joins punctuation and the line breaks behind it
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
# Llama 3's differs in taking up to three digits
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

_WORDS = """Input: Output: Answer with one of the following options: Yes No True False not ( True ) and ( False ) is
(A) (B) (C) (D) (E) Options: - Yes - No. Which sentence has the correct adjective order? Today is the date yesterday
If you follow these instructions, do you return to the starting point? Take 3 steps left. Turn around. Turn right.
I have a flute, a piano, two lamps and four stoves. How many musical instruments do I have? Sort the words: apple pear
user assistant system model You are a helpful assistant. Human: think"""


def corpus() -> list[str]:
    """Text to learn merges from, with punctuation before line breaks and blank lines."""
    lines = _WORDS.split("\n")
    return [
        *lines,
        "\n\n".join(lines),
        "Q)\n\nQ?\n\nQ.\n\nQ:\n\nA)\n\n" * 20,
        "Input: a\nOutput: (A)\n\n" * 50,
        *["Yes\n\n"] * 50,
    ]


def wrapped(tokenizer: Tokenizer, specials: Sequence[str] = (), **names: Any) -> PreTrainedTokenizerFast:
    names.setdefault("eos_token", "<|endoftext|>")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=list(specials),
        clean_up_tokenization_spaces=False,
        **names,
    )


@lru_cache
def byte_level(
    split: str | None = None,
    specials: tuple[str, ...] = (),
    trim_offsets: bool = False,
    bos: bool = False,
    more: str = "",
):
    """Byte-level BPE; `split` None is GPT-2's own pattern. `more` is learnt from in addition."""
    tokenizer = Tokenizer(models.BPE())
    if split is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(split), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([*corpus(), *[more] * 50], trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    names = {}
    if bos:
        tokenizer.add_special_tokens(["<|begin|>"])
        begin = tokenizer.token_to_id("<|begin|>")
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=trim_offsets),
                processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", begin)]),
            ]
        )
        names["bos_token"] = "<|begin|>"
    return wrapped(tokenizer, specials, **names)


@lru_cache
def metaspace(specials: tuple[str, ...] = (), scheme: str = "first", eos: bool = False):
    """SentencePiece's ways: `▁` for spaces, bytes for what is unknown, BOS in front (and EOS behind, if asked)."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if scheme != "never" else []),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))],
        show_progress=False,
    )
    # learnt a word at a time, as SentencePiece does, though applied to whole texts
    words = [word for text in corpus() for word in re.findall(r" ?[^ \n]+", text)]
    tokenizer.train_from_iterator(words, trainer)
    # bytes are plain vocabulary, not special tokens
    record = json.loads(tokenizer.to_str())
    record["added_tokens"] = [t for t in record["added_tokens"] if not t["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(record))
    ids = [("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if eos else "<s> $A", special_tokens=ids
    )
    return wrapped(tokenizer, specials, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@lru_cache
def llama2(specials: tuple[str, ...] = ()):
    """As `metaspace`, but the space in front is a normalizer's, so each text between special tokens gets one."""
    tokenizer = copy.deepcopy(metaspace(specials))
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = None
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


@lru_cache
def unigram(specials: tuple[str, ...] = ()):
    """SentencePiece's other model, which may take other tokens far back for what comes later."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        initial_alphabet=[*map(chr, range(32, 127)), "\n", "\t", "é", "日", "ﬁ", "\u00a0", "👩", "\u200d", "🚀"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([word for text in corpus() for word in re.findall(r" ?[^ \n]+|\n", text)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return wrapped(tokenizer, specials, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@lru_cache
def space_in_front():
    """GPT-2's way with a space put before every text."""
    tokenizer = copy.deepcopy(byte_level())
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def template_files() -> list[Path]:
    """The chat templates in TRL's wheel."""
    import trl

    return sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


def templates(paths: Sequence[Path]) -> list[Any]:
    """As parameters: one of each family in the quick tests, the others in the slow ones."""
    families: dict[str, Path] = {}
    for path in paths:
        families.setdefault(re.split(r"[^a-z]", path.stem)[0], path)
    first = families.values()
    return [pytest.param(path, id=path.stem, marks=[] if path in first else [pytest.mark.slow]) for path in paths]


def marks(source: str) -> list[str]:
    """What a template writes that looks like a special token of its model."""
    found = re.findall(
        r"<[|｜][^<>|｜{}'\" \n]+[|｜]>|<\|[A-Za-z_]+>|<[A-Za-z_]+\|>|</?s>|\[/?INST\]|<[a-z_]+_of_[a-z_]+>", source
    )
    return sorted(set(found))


def bbh(files: Iterable[str] | None = None) -> list[tuple[str, str]]:
    pairs = []
    for path in sorted(BBH.glob("*.json")):
        if files is None or path.stem in files:
            pairs += [(e["input"], e["target"]) for e in json.loads(path.read_text())["examples"]]
    return pairs


def chat(path: Path, split: str | None = None) -> Any:
    """A byte-level tokenizer with a chat template and the special tokens that the template writes."""
    return chat_of(path.read_text(), split)


def chat_of(source: str, split: str | None = None) -> Any:
    tokenizer = copy.deepcopy(byte_level(split, tuple(marks(source))))
    tokenizer.chat_template = source
    tokenizer.bos_token = "<|begin_of_text|>"
    return tokenizer


@lru_cache
def characters(specials: tuple[str, ...] = ()) -> Any:
    """One token a character (ASCII), so that spans can be counted by hand."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return wrapped(tokenizer, specials)
