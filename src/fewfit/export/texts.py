"""The few-shot prompt for people and for hosted models: as text, and as messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewfit.bundle import Bundle
from fewfit.examples.example import Example
from fewfit.export.bake import Surroundings
from fewfit.export.serving import stops
from fewfit.render import Renderer
from fewfit.render.chat import ChatLayout
from fewfit.render.plain import flat

SLOT = "{query}"


def slot(*texts: str) -> str:
    """What stands for the query; no text of the prompt's may hold it."""
    number, mark = 1, SLOT
    while any(mark in text for text in texts):
        number += 1
        mark = f"{{query {number}}}"
    return mark


def prompt_text(around: Surroundings) -> str:
    """What is sent to a completions endpoint, to the character: no line break stands behind it."""
    return around.before + slot(around.before, around.after) + around.after


def request(bundle: Bundle, renderer: Renderer, demos: Sequence[Example]) -> dict[str, Any]:
    """The body of a chat request but for its model. Models with another chat template are asked the same in their own
    words: what was tested is the prompt of the bundle's own model."""
    shown = [str(one) for demo in demos for one in (demo.prompt, demo.completion)]
    mark = slot(*shown, bundle.settings.instruction or "", bundle.settings.system or "")
    query = Example("\0query", mark, "")
    layout = renderer.layout
    if isinstance(layout, ChatLayout):
        turns = [(turn.role, turn.content) for turn in layout.turns(demos, query)[:-1]]
    else:
        settings = bundle.settings
        documents = [demo.completion.strip() for demo in demos if demo.is_document]  # no turns
        first = "\n\n".join(text for text in (settings.instruction, settings.system, *documents) if text)
        turns = [("system", first)] if first else []
        for demo in (one for one in demos if not one.is_document):
            turns += [("user", flat(demo.prompt)), ("assistant", demo.completion.strip())]
        turns.append(("user", mark))
    body: dict[str, Any] = {
        "messages": [{"role": role, "content": content} for role, content in turns],
        "temperature": bundle.sampling.temperature,
        **({"top_p": bundle.sampling.top_p} if bundle.sampling.temperature else {}),
        "max_tokens": bundle.max_new_tokens,
    }
    if bundle.sampling.repetition_penalty != 1:  # no setting of OpenAI's; vLLM and others know it
        body["repetition_penalty"] = bundle.sampling.repetition_penalty
    return body | ({"stop": found} if (found := stops(bundle, renderer)) else {})
