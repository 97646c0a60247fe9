"""Ids for a model whose own tokens nobody here knows: the bytes of its text, and marks between the turns of a chat.

With a tokenizer of bytes all of `render` works as it does for any model (spans, end marks, lengths), and ids are read
back into what an endpoint takes: text, or messages. No text has more tokens than bytes, so lengths are kept to whatever
the model's own tokens are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from fewfit.examples.example import Message, Role

ROLES: tuple[Role, ...] = get_args(Role)
END = "<|fewfit:end|>"
CHAT = (
    "{% for m in messages %}{{ '<|fewfit:' + m['role'] + '|>' + m['content'] + '<|fewfit:end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|fewfit:assistant|>{% endif %}"
)


def mark(role: Role) -> str:
    return f"<|fewfit:{role}|>"


def byte_tokenizer(*, chat: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bare = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)
    bare.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare,
        eos_token=END,
        additional_special_tokens=[mark(role) for role in ROLES],
        clean_up_tokenization_spaces=False,
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def messages(tokenizer: Any, ids: Sequence[int]) -> tuple[Message, ...]:
    """The turns of a prompt; the mark at its end, which asks for the next one, is none."""
    roles = {tokenizer.convert_tokens_to_ids(mark(role)): role for role in ROLES}
    end = tokenizer.convert_tokens_to_ids(END)
    turns: list[Message] = []
    role: Role | None = None
    content: list[int] = []
    for id in ids:
        if id in roles:
            role, content = roles[id], []
        elif id == end and role is not None:
            turns.append(Message(role, text(tokenizer, content)))
        else:
            content.append(id)
    return tuple(turns)


def text(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
