"""What is decided about rendering from the tokenizer, the examples and the flags, once, before anything runs."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date as day
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.render import limits
from fewfit.render.chat import ChatLayout, Turn, template_source
from fewfit.render.encode import Encoder
from fewfit.render.plain import COMPLETION, PROMPT, parts, separator
from fewfit.render.renderer import Renderer
from fewfit.render.settings import TEMPLATE, RenderSettings

# A list longer than this helps nobody and fills the context.
LISTED_CHOICES = 40
# Questions about documents are statements to be completed, or bring their own "Answer:".
IN_ONE_SENTENCE = f"{PROMPT} {COMPLETION}"


def resolve(
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    chat: str = "auto",
    instruction: str | None = None,
    no_instruction: bool = False,
    system: str | None = None,
    template: str | None = None,
    max_length: int | None = None,
    context_length: int | None = None,
    choices: Sequence[str] | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
    max_new_tokens: int | None = None,
    date: str | None = None,
    chat_reason: str | None = None,
) -> Renderer:
    encoder = Encoder(tokenizer)
    told = [example for example in examples if not example.is_document]
    if chat == "auto" and len(told) < len(examples):
        on, reason = False, "documents are no turns"
    else:
        on, reason = _chat(tokenizer, chat)
        reason = chat_reason or reason
    notices = [f"chat template {'on' if on else 'off'}: {reason}"]
    listed = tuple(choices) if choices else None
    if no_instruction or instruction == "":
        instruction = None
    elif instruction is None and listed and len(listed) <= LISTED_CHOICES:
        instruction = _listing(listed)
        notices.append(f"instruction added: {instruction!r} (--no-instruction leaves it out)")
    settings = RenderSettings(
        chat=on,
        chat_reason=reason,
        instruction=instruction,
        system=system or None,
        max_length=_length(max_length, context_length, notices),
        choices=listed,
        template_kwargs=_for_template(template_kwargs or {}),
    )
    if on:
        if template is not None:
            notices.append("--template is not used: the chat template writes the turns (--chat off for the plain one)")
        if unknown := _unknown_to_template(encoder, settings.template_kwargs):
            notices.append(f"--chat-template-kwargs: the chat template knows no {' and no '.join(unknown)}")
        settings = _chat_settings(encoder, settings, date, notices)
    else:
        if template_kwargs:
            notices.append("--chat-template-kwargs is not used: no chat template writes the turns (--chat on uses it)")
        settings = _plain_settings(encoder, settings, examples, template, notices)
        if len(told) < len(examples) and template is None:
            settings = replace(settings, template=IN_ONE_SENTENCE)
    settings = replace(settings, lookalikes=_lookalikes(encoder, examples, notices))
    _trimmed(examples, notices)
    longest = max_new_tokens or _longest(Renderer(tokenizer, replace(settings, max_length=None)), told)
    settings = replace(settings, max_new_tokens=longest)
    if settings.max_length is not None and longest >= settings.max_length:
        raise UserError(
            f"no prompt fits: answers may be {longest} tokens long, and the length is {settings.max_length}",
            hint="raise --max-length",
            code="too-long",
        )
    renderer = Renderer(tokenizer, settings)
    _checked(renderer, examples, notices)
    renderer.notices = notices
    return renderer


def _chat(tokenizer: Any, chat: str) -> tuple[bool, str]:
    try:
        has = bool(template_source(tokenizer))
    except ValueError:  # transformers says so where there is none
        has = False
    if chat == "auto":
        return has, "the tokenizer has one" if has else "the tokenizer has none"
    if chat not in ("on", "off"):
        raise UserError(f"chat is auto, on or off, not {chat!r}", hint="use --chat auto")
    if chat == "on" and not has:
        raise UserError(
            "chat is on, but the tokenizer has no chat template",
            hint="use --chat off, or a model that was trained for chat",
        )
    return chat == "on", "as asked"


def _listing(choices: Sequence[str]) -> str:
    """One line with the labels. The mark between them is one that no label contains."""
    mark = next((m for m in (", ", "; ", " | ") if not any(m.strip() in c for c in choices)), "\n")
    if mark == "\n" or any("\n" in c for c in choices):
        return "Answer with one of:\n" + "\n".join(f"- {c}" for c in choices)
    return f"Answer with one of: {mark.join(choices)}."


def _length(asked: int | None, context: int | None, notices: list[str]) -> int | None:
    if asked is not None and asked <= 0:
        raise UserError(f"max-length is {asked}", hint="give a number of tokens above 0")
    if asked is not None and context is not None and asked > context:
        notices.append(f"max-length {asked} is above the model's {context} tokens, which are used")
    known = [n for n in (asked, context) if n is not None]
    return min(known) if known else None


# --- chat

# arguments of transformers' apply_chat_template that are given to it here
TAKEN = (
    "conversation", "messages", "chat_template", "tokenize", "add_generation_prompt", "continue_final_message",
    "return_dict", "return_tensors", "return_assistant_tokens_mask", "tokenizer_kwargs", "padding", "truncation",
    "max_length",
)  # fmt: skip


def _for_template(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """They are kept in run.json and bundle.json, so they have to be JSON."""
    flag = "--chat-template-kwargs"
    if taken := next((name for name in kwargs if name in TAKEN), None):
        raise UserError(f"{flag}: {taken} is set by fewfit itself", hint="give what the template names, nothing else")
    try:
        json.dumps(dict(kwargs), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{flag} holds what is not JSON: {reason}", hint="take numbers, text, lists, true") from None
    return dict(kwargs)


def _unknown_to_template(encoder: Encoder, kwargs: Mapping[str, Any]) -> list[str]:
    from jinja2 import meta

    tree = limits.parsed(template_source(encoder.tokenizer)) if kwargs else None
    known = set(kwargs) if tree is None else meta.find_undeclared_variables(tree)
    return [name for name in kwargs if name not in known]


def _chat_settings(encoder: Encoder, settings: RenderSettings, date: str | None, notices: list[str]) -> RenderSettings:
    source = template_source(encoder.tokenizer)
    kwargs = dict(settings.template_kwargs)
    if "enable_thinking" not in kwargs and re.search(r"\benable_thinking\b", source):
        kwargs["enable_thinking"] = False
        notices.append("enable_thinking=false: answers come at once (--chat-template-kwargs changes it)")
    settings = replace(settings, template_kwargs=kwargs)
    if re.search(r"\bstrftime_now\b", source):
        settings = replace(settings, date=date or day.today().isoformat())
        notices.append(f"the chat template asks for the day, which stays {settings.date}")
        if re.search(r"\bstrftime_now\s*\(", ChatLayout(encoder, settings).source):
            notices.append("the chat template asks for the day in a way that cannot be fixed: prompts change daily")
    settings = replace(settings, content_parts=_wants_parts(encoder, settings))
    if _refuses_system(encoder, settings):
        settings = replace(settings, merge_system=True)
        if settings.system:
            notices.append("the chat template refuses system turns: the text stands before the first user turn's")
    usual = ChatLayout(encoder, settings).usual
    if usual.lacks:
        notices.append(f"the template's generation prompt lacks {usual.lacks!r} before an answer; it is added")
    if usual.surplus:
        notices.append(f"the template's generation prompt ends in {usual.surplus!r}, answers do not; it is left out")
    return replace(settings, generation_prompt_lacks=usual.lacks, generation_prompt_surplus=usual.surplus)


def _wants_parts(encoder: Encoder, settings: RenderSettings) -> bool:
    """True where turns given as text are lost and turns given as lists of parts are not."""
    for parts_ in (False, True):
        try:
            _ = ChatLayout(encoder, replace(settings, content_parts=parts_)).usual
        except UserError as error:
            refusal = error
            if error.code == limits.CODE:
                break
        else:
            return parts_
    raise refusal


def _refuses_system(encoder: Encoder, settings: RenderSettings) -> bool:
    turns = [Turn("system", "a"), Turn("user", "b"), Turn("assistant", "c", True)]
    try:
        ChatLayout(encoder, settings).skeleton(turns)
    except UserError as error:
        if error.code == limits.CODE:
            raise
        return True
    return False


def _checked(renderer: Renderer, examples: Sequence[Example], notices: list[str]) -> None:
    """Every example once on its own: one that cannot fit is better named now than after an hour."""
    for example in examples:
        if example.is_document:
            renderer.documents(example)
    told = [e for e in examples if not e.is_document]
    warnings = Counter(warning for e in told for warning in renderer.render((), e).warnings)
    notices.extend(f"{warning} ({n} of {len(examples)} examples)" for warning, n in warnings.items())


# --- plain


def _plain_settings(
    encoder: Encoder, settings: RenderSettings, examples: Sequence[Example], template: str | None, notices: list[str]
) -> RenderSettings:
    # a shell passes \n as two characters
    template = TEMPLATE if template is None else template.replace("\\n", "\n").replace("\\t", "\t")
    head, middle, tail = parts(template)
    if not middle:
        # the raw form: white space between the data's prompt and completion, which trimming takes, is the template's
        template = f"{head}{PROMPT}{_glue(examples)}{COMPLETION}{tail}"
    mark = separator(encoder, (text for e in examples for text in (*_texts(e), e.completion)))
    if mark != settings.separator:
        notices.append(f"items are separated by {mark!r}: the examples contain a blank line")
    return replace(settings, template=template, separator=mark)


def _glue(examples: Sequence[Example]) -> str:
    found: Counter[str] = Counter()
    for example in examples:
        prompt = _texts(example)[-1]
        before, after = prompt[len(prompt.rstrip()) :], example.completion
        found[before + after[: len(after) - len(after.lstrip())]] += 1
    return found.most_common(1)[0][0] if found else ""


# --- the examples


def _texts(example: Example) -> tuple[str, ...]:
    return (example.prompt,) if isinstance(example.prompt, str) else tuple(m.content for m in example.prompt)


def _lookalikes(encoder: Encoder, examples: Sequence[Example], notices: list[str]) -> int:
    found = sum(1 for e in examples if any(encoder.count(text) for text in (*_texts(e), e.completion)))
    if found:
        notices.append(
            f"text that looks like a special token in {found} of {len(examples)} examples: it is read as plain text"
        )
    return found


def _trimmed(examples: Sequence[Example], notices: list[str]) -> None:
    found = sum(1 for e in examples if any(text != text.strip() for text in (*_texts(e), e.completion)))
    if found:
        notices.append(f"white space around prompts or answers trimmed in {found} of {len(examples)} examples")


def _longest(renderer: Renderer, examples: Sequence[Example]) -> int:
    """Half as long again as the longest answer with its end, in eights: new answers may be longer than those seen."""
    longest = 0
    seen: set[object] = set()
    for example in examples:
        options = example.choices or renderer.settings.choices or (example.completion,)
        if options in seen:
            continue
        seen.add(options)
        prompt = renderer.prompt((), example)
        longest = max(longest, *(len(ids) for ids in renderer.continuations(prompt, options)))
    return max(8, 8 * math.ceil(longest * 1.5 / 8))
