"""The tokenizer: every text comes back, the words of the language are single tokens, chats are marked."""

from __future__ import annotations

import pytest

from lab import tokens
from lab import words as W


@pytest.fixture(scope="module")
def tokenizer():
    return tokens.wrapped()


@pytest.mark.parametrize(
    "text", ["fox bear", " zakfe", "naïve café 北京 🦊\t\n\n x", "a  b   c", "12 345", "<|end|> inside"]
)
def test_every_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_words_are_single_tokens_with_their_space(tokenizer):
    assert len(tokenizer) <= 4096
    long = [word for word in W.LEXICON if len(tokenizer.encode(" " + word)) > 1]
    assert len(long) <= len(W.LEXICON) // 20
    assert all(len(tokenizer.encode(" " + label)) == 1 for label in W.HELD_OUT_LABELS)
    assert all(len(tokenizer.encode(label)) == 1 for label in W.HELD_OUT_LABELS)


def test_digits_stand_alone(tokenizer):
    assert len(tokenizer.encode("123")) == 3


def test_the_chat_template_marks_what_the_assistant_says(tokenizer):
    chat = [
        {"role": "system", "content": "be brief."},
        {"role": "user", "content": "copy fox"},
        {"role": "assistant", "content": "fox"},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "fox fox"},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    assert text == (
        "<|system|>be brief.<|end|><|user|>copy fox<|end|><|assistant|>fox<|end|>"
        "<|user|>again<|end|><|assistant|>fox fox<|end|>"
    )
    out = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, m in zip(out["input_ids"], out["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(marked) == "fox<|end|>fox fox<|end|>"
    prompt = tokenizer.apply_chat_template(chat[:2], tokenize=False, add_generation_prompt=True)
    assert text.startswith(prompt)
    assert prompt.endswith("<|assistant|>")
