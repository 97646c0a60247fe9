"""A chat template that writes a bundle's own prompts, demonstrations and all, on any server that reads chat templates.

What stands around a query is the same for every query, so the template is two literals with the query between them,
and takes one user turn. Models without a chat template get one in this way, too. Where nothing but the conversation
stands in the prompt, the model's own template is kept instead, with what it lacks before an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.render import Piece, Renderer

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = re.compile(r'[\\"\n\r\t]')
_ONE_TURN = """\
{#- Made by fewfit: the demonstrations stand in it, and it takes one user turn. -#}
{%- if messages | length != 1 or messages[0]['role'] != 'user' -%}
{{- raise_exception('this template takes one user turn and no other: its demonstrations stand in it already') -}}
{%- endif -%}
{%- set query = messages[0]['content'] -%}
{%- if query is not string -%}
{%- set query = query | map(attribute='text') | join -%}
{%- endif -%}
"""


@dataclass(frozen=True)
class Surroundings:
    """The text before and behind any query, what the tokenizer puts in front by itself included."""

    before: str
    after: str


def literal(text: str) -> str:
    """A string that a template reads back as this text: no mark of Jinja's means anything inside it.

    Letters stand as they are: not every server's Jinja knows the escapes that Python has for them.
    """
    return '"' + _ESCAPED.sub(lambda found: _ESCAPES[found.group()], text) + '"'


def surroundings(renderer: Renderer, demos: Sequence[Example]) -> Surroundings:
    """Raises UserError where another tokenizer would read them otherwise than they were tested."""
    mark = "Zq0xQuery"
    while any(mark in text for text in _texts(renderer, demos)):
        mark += "y"
    layout = renderer.layout.lay(demos, Example("\0query", mark, ""))
    for piece in layout.pieces:
        if piece.data and renderer.encoder.count(piece.text):
            found = renderer.encoder.specials.search(piece.text)
            raise UserError(
                f"its demonstrations or instruction hold text that looks like a special token "
                f"({found.group() if found else ''!r}): fewfit reads it as text, other servers would obey it",
                hint="take it out of the examples and fit again, or serve with fewfit",
                code="lookalike",
            )
    before, after = layout.text.split(mark)
    meant = renderer.encoder.encode(layout.pieces, special=not renderer.settings.chat).ids
    first = "" if renderer.settings.chat else beginning(renderer)
    # SentencePiece's tokenizers put a space before a text, and not behind a special token that is written in it.
    for start in dict.fromkeys([first, f"{first} " if first else first]):
        if tuple(renderer.tokenizer(start + layout.text, add_special_tokens=False)["input_ids"]) == meant:
            return Surroundings(start + before, after)
    raise UserError(
        "its prompt, written as text, is read as other tokens than were tested",
        hint="serve with fewfit, or take text that looks like special tokens out of the examples and fit again",
        code="lookalike",
    )


def beginning(renderer: Renderer) -> str:
    """The special tokens that the tokenizer puts before a text, as text: a chat template has to write them itself."""
    bare = tuple(renderer.tokenizer("a", add_special_tokens=False)["input_ids"])
    full = renderer.encoder.encode((Piece("a"),), special=True).ids
    return renderer.encoder.decode(full[: len(full) - len(bare)])


def bake(renderer: Renderer, demos: Sequence[Example], examples: Sequence[Example] = ()) -> str:
    """The template. `examples` are queries that it has to take: conversations need the model's own."""
    settings = renderer.settings
    if settings.chat and not demos and not settings.instruction and not settings.system:
        own = kept(renderer)
        asked = examples or [Example("1", "Who?", "")]
        if all(is_written_so(renderer, own, one) for one in asked):
            return own
    turns = next((one for one in examples if not is_one_turn(one)), None)
    if turns is not None:
        raise UserError(
            "the prompts are conversations, and beside demonstrations or an instruction a template takes one user turn",
            where=f"example {turns.id}",
            hint="serve with fewfit, or export --as peft, merged or messages",
            code="conversations",
        )
    around = surroundings(renderer, demos)
    return (
        _ONE_TURN + f"{{{{- {literal(around.before)} -}}}}{{{{- query | trim -}}}}{{{{- {literal(around.after)} -}}}}\n"
    )


def kept(renderer: Renderer) -> str:
    """The model's own template, with the settings that it was asked with and what stands before an answer."""
    settings, source = renderer.settings, str(renderer.chat_template)
    given = "".join(f"{{% set {name} = {value(one)} %}}" for name, one in settings.template_kwargs.items())
    source = source.removesuffix("\n")  # Jinja drops one at the very end, which is no longer there
    feed = "\n" if source.startswith("\n") else ""  # and one behind a tag
    lacks, surplus = settings.generation_prompt_lacks, settings.generation_prompt_surplus
    if not lacks and not surplus:
        return given + feed + source if given else source
    cut = f"[:-{len(surplus)}]" if surplus else ""
    return (
        f"{given}{{% set whole %}}{feed}{source}{{% endset %}}{{% if add_generation_prompt %}}"
        f"{{{{- whole{cut} ~ {literal(lacks)} -}}}}{{% else %}}{{{{- whole -}}}}{{% endif %}}"
    )


def value(given: Any) -> str:
    """JSON as Jinja writes it."""
    if isinstance(given, str):
        return literal(given)
    if isinstance(given, dict):
        return "{" + ", ".join(f"{literal(key)}: {value(one)}" for key, one in given.items()) + "}"
    if isinstance(given, list | tuple):
        return "[" + ", ".join(value(one) for one in given) + "]"
    return "none" if given is None else json.dumps(given)


def written(renderer: Renderer, template: str, example: Example) -> str:
    """The prompt as a server writes it that is given the template."""
    return str(
        renderer.tokenizer.apply_chat_template(
            as_messages(example, parts=renderer.settings.content_parts),
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    )


def is_written_so(renderer: Renderer, template: str, example: Example) -> bool:
    from jinja2 import TemplateError

    try:
        return written(renderer, template, example) == renderer.prompt((), example).text
    except TemplateError:  # of templates that refuse what fewfit merges, system turns for one
        return False


def as_messages(example: Example, *, parts: bool = False) -> list[dict[str, Any]]:
    prompt = example.prompt
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return [
        {"role": turn.role, "content": [{"type": "text", "text": turn.content}] if parts else turn.content}
        for turn in turns
    ]


def is_one_turn(example: Example) -> bool:
    return isinstance(example.prompt, str) or [turn.role for turn in example.prompt] == ["user"]


def _texts(renderer: Renderer, demos: Sequence[Example]) -> list[str]:
    settings = renderer.settings
    texts = [settings.instruction or "", settings.system or "", settings.template, str(renderer.chat_template or "")]
    for demo in demos:
        texts += [str(demo.prompt), demo.completion]
    return texts
