"""Any text at all: what must hold whatever stands in the data."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizers_made import QWEN, byte_level, chat_of, llama2, metaspace, space_in_front, unigram

from fewfit.examples.example import Example
from fewfit.render import Renderer, loss_mask

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
KINDS = {
    "plain, GPT-2": lambda: byte_level(),
    "plain, GPT-2, trimmed offsets": lambda: byte_level(trim_offsets=True, bos=True),
    "plain, Qwen": lambda: byte_level(QWEN),
    "plain, SentencePiece": lambda: metaspace(),
    "plain, Llama 2": llama2,
    "plain, Unigram": unigram,
    "plain, GPT-2, space in front": space_in_front,
    "ChatML, Qwen": lambda: chat_of(CHATML, QWEN),
    "ChatML, GPT-2": lambda: chat_of(CHATML),
    "Mistral, GPT-2": lambda: chat_of(MISTRAL),
}
TEMPLATES = [
    "Input: {prompt}\nOutput: {completion}",
    "{prompt}{completion}",
    "({prompt})\n\n{completion};",
    "{prompt} = {completion}",
]
pieces = st.sampled_from(
    ["a", "Yes", " ", "  ", "\n", "\n\n", ")", "(", ".", ":", "7", "é", "日", "👩‍🚀", "ﬁ", "\t", "\u00a0", "Input", "#"]
    + ["<|im_end|>", "<|im_start|>", "</s>", "<s>", "<|endoftext|>", "<|", "[INST]", "{prompt}", "{{ x }}"]
)
texts = st.lists(pieces, min_size=1, max_size=8).map(lambda parts: unicodedata.normalize("NFC", "".join(parts)))
examples = st.tuples(texts, texts).map(lambda pair: Example("x", *pair))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(demos=st.lists(examples, max_size=3), target=examples, template=st.sampled_from(TEMPLATES))
def test_whatever_the_data_hold(kind, demos, target, template):
    """The sequence begins with the served prompt, its text is whole, its spans are the answers, and an answer read
    back from its tokens is the answer.

    Break seen to fail: ids of the whole text where they do not begin with the prompt's; look-alikes of special tokens
    read as such.
    """
    everything = [*demos, target]
    assume(all(e.prompt.strip() and e.completion.strip() for e in everything))
    tokenizer = KINDS[kind]()
    renderer = Renderer.resolve(tokenizer, everything, template=template if "plain" in kind else None)
    prompt, rendered = renderer.prompt(demos, target), renderer.render(demos, target)
    special = set(tokenizer.all_special_ids)

    def decoded(ids) -> str:
        text = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text.removeprefix(tokenizer.bos_token or "").removeprefix(" ") if "plain" in kind else text

    assert rendered.ids[: rendered.prompt_tokens] == prompt.ids
    assert rendered.text.startswith(prompt.text)
    assert decoded(rendered.ids) == rendered.text.removeprefix(" ")
    # spans: one an answer, in order, none empty, the last one the target's
    assert len(rendered.spans) == len(everything)
    assert all(start < end for start, end in rendered.spans)
    assert all(one[1] <= two[0] for one, two in zip(rendered.spans, rendered.spans[1:], strict=False))
    assert rendered.spans[-1] == (len(prompt.ids), len(rendered.ids))
    assert sum(loss_mask(rendered)) == sum(end - start for start, end in rendered.spans)
    for (start, end), example in zip(rendered.spans, everything, strict=True):
        assert example.completion.strip() in decoded(rendered.ids[:end])[len(decoded(rendered.ids[:start])) - 1 :]
        # the template's special tokens end an answer, and none stands within it
        inside = [id for id in rendered.ids[start:end] if id in special]
        assert len(inside) == ("plain" not in kind)
    text, ended = renderer.answer_text(rendered.ids[rendered.prompt_tokens :])
    assert ended
    assert text == target.completion.strip()
