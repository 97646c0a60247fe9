"""The view of a sequence: what is marked is what carries loss."""

from __future__ import annotations

import json
import re

import pytest
from tokenizers_made import QWEN, byte_level, characters, metaspace

from fewfit.cli.show import CLOSE, GREEN, OPEN, PLAIN, as_json, show
from fewfit.examples.example import Example
from fewfit.render import Renderer

EXAMPLES = [Example("1", "a?", "b"), Example("2", "Turn\nleft.", "(No)"), Example("3", "c", "d\ne")]


@pytest.mark.parametrize(
    "make", [byte_level, lambda: byte_level(QWEN), metaspace], ids=["GPT-2", "Qwen", "SentencePiece"]
)
def test_plain_marks(make):
    """Golden. Break seen to fail: the mask of the other kind of loss; stretches decoded apart."""
    tokenizer = make()
    rendered = Renderer.resolve(tokenizer, EXAMPLES).render(EXAMPLES[:2], EXAMPLES[2])
    shown = show(rendered, tokenizer, color=False)
    head, body = shown.split("\n\n", 1)
    assert body.removeprefix("<s> ") == (
        "Input: a?\nOutput:⟦ b⏎⏎⟧\n\nInput: Turn\nleft.\nOutput:⟦ (No)⏎⏎⟧\n\nInput: c\nOutput:⟦ d⏎\ne⏎⏎⟧\n\n"
    )
    assert head.startswith(
        f"{len(rendered.ids)} tokens: {rendered.prompt_tokens} of prompt with 2 demonstrations (1, 2)"
    )
    carrying = sum(end - start for start, end in rendered.spans)
    assert head.endswith(f"{carrying} carry loss (every-answer)")
    last = show(rendered, tokenizer, color=False, loss="last-answer")
    assert last.count(OPEN) == 1
    assert f"{len(rendered.ids) - rendered.prompt_tokens} carry loss (last-answer)" in last


def test_colours_mark_the_same_tokens():
    tokenizer = characters()
    rendered = Renderer.resolve(tokenizer, EXAMPLES).render(EXAMPLES[:2], EXAMPLES[2])
    plain = show(rendered, tokenizer, color=False)
    assert show(rendered, tokenizer, color=True) == plain.replace(OPEN, GREEN).replace(CLOSE, PLAIN)
    marked = re.findall(f"{OPEN}(.*?){CLOSE}", plain, flags=re.S)
    assert [text.replace("⏎\n", "\n").replace("⏎", "\n") for text in marked] == [
        rendered.text[start:end] for start, end in rendered.spans
    ]


def test_control_characters_in_data_do_nothing_to_the_terminal():
    """Break seen to fail: data written as they are."""
    tokenizer = characters()
    example = Example("1", "\x1b[2Ja\x07", "\x1b]0;b")
    shown = show(Renderer.resolve(tokenizer, [example]).render([], example), tokenizer, color=False)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "␛[2Ja␇" in shown


def test_json_of_the_same():
    tokenizer = characters()
    rendered = Renderer.resolve(tokenizer, EXAMPLES).render(EXAMPLES[:1], EXAMPLES[2])
    record = json.loads(json.dumps(as_json(rendered, rendered.spans)))
    assert set(record) == {"tokens", "loss", "text"}
    assert tuple(record["tokens"]) == rendered.ids
    assert record["text"] == rendered.text
    assert [t for t, mine in zip(record["tokens"], record["loss"], strict=True) if mine] == [
        *rendered.ids[slice(*rendered.spans[0])],
        *rendered.ids[slice(*rendered.spans[1])],
    ]
    assert sum(as_json(rendered, rendered.spans[-1:])["loss"]) == len(rendered.ids) - rendered.prompt_tokens


def test_warnings_are_shown():
    tokenizer = byte_level()
    renderer = Renderer.resolve(tokenizer, EXAMPLES, template="{prompt}\n\n{completion}")
    assert "note: the whole text is tokenised otherwise" in show(
        renderer.render([], EXAMPLES[0]), tokenizer, color=False
    )
