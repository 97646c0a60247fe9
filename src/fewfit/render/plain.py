"""Items of plain text, one under the other, for models without a chat template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.render.encode import Encoder
from fewfit.render.rendered import Layout, Piece, Span
from fewfit.render.settings import BLANK_LINE, RenderSettings

PROMPT, COMPLETION = "{prompt}", "{completion}"
# None ends in a space: it would be one token with the next word. The last two are for tokenizers without line breaks.
SEPARATORS = (BLANK_LINE, "\n###\n", "\n---\n", "\n***\n", "\n=====\n", " ###", " |||")
_NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}


class PlainLayout:
    """The template's literal parts, and the prompts laid out by them."""

    def __init__(self, settings: RenderSettings):
        self.settings = settings
        self.head, middle, self.tail = parts(settings.template)
        # Spaces before an answer stand on the answer's side: a prompt that ends in one is tokenised unlike the
        # demonstrations, whose space belongs to the next word. A line break stays with the prompt, since
        # pre-tokenisers of the Qwen kind join it to the punctuation before it.
        self.middle = middle.rstrip(" \t")
        self.lead = middle[len(self.middle) :]
        self.end = self.tail + settings.separator
        # what follows an end mark within a prompt; a letter, so that white space before it splits as it does there
        self.after = self.head + "A"

    def lay(self, demos: Sequence[Example], target: Example) -> Layout:
        pieces: list[Piece] = []
        answers: list[Span] = []
        length = 0

        def put(text: str, data: bool = False) -> None:
            nonlocal length
            if text:
                pieces.append(Piece(text, data))
                length += len(text)

        if self.settings.instruction:
            put(self.settings.instruction, data=True)
            put(BLANK_LINE)
        if self.settings.system:
            put(self.settings.system, data=True)
            put(BLANK_LINE)
        for demo in demos:
            if not demo.is_document:
                put(self.head)
                put(flat(demo.prompt), data=True)
                put(self.middle)
            start = length
            if not demo.is_document:
                put(self.lead)
            put(demo.completion.strip(), data=True)
            put(self.end)
            answers.append((start, length))
        put(self.head)
        put(flat(target.prompt), data=True)
        put(self.middle)
        return Layout(tuple(pieces), tuple(answers), self.lead, self.end, self.after)


def parts(template: str) -> tuple[str, str, str]:
    """The template's text before the prompt, between prompt and completion, and behind it."""
    if template.count(PROMPT) != 1 or template.count(COMPLETION) != 1:
        raise UserError(
            f"the template {template!r} must hold {PROMPT} and {COMPLETION} once each",
            hint=r"for example --template 'Q: {prompt}\nA: {completion}'",
        )
    head, rest = template.split(PROMPT)[0], template.split(PROMPT)[1]
    if COMPLETION not in rest:
        raise UserError(
            f"the template {template!r} has its completion before its prompt",
            hint="put {prompt} first: the model writes what comes last",
        )
    middle, tail = rest.split(COMPLETION)
    return head, middle, tail


def flat(prompt: str | tuple[Message, ...]) -> str:
    """A prompt as one text: turns get their speaker's name, a single one is its text."""
    if isinstance(prompt, str):
        return prompt.strip()
    spoken = [m for m in prompt if m.role != "system"]
    lines = [m.content.strip() for m in prompt if m.role == "system"]
    if len(spoken) == 1:
        lines.append(spoken[0].content.strip())
    else:
        lines.extend(f"{_NAMES[m.role]}: {m.content.strip()}" for m in spoken)
    return "\n".join(line for line in lines if line)


def separator(encoder: Encoder, texts: Iterable[str]) -> str:
    """The first separator that no text contains and that survives tokenisation."""
    whole = "\0".join(texts)
    fences = tuple(f"\n{'#' * n}\n" for n in range(4, 40))
    for candidate in SEPARATORS + fences:
        if candidate.strip("\n") and candidate.strip("\n") in whole:
            continue
        if candidate in whole:
            continue
        # some tokenizers read a line break as a space, and an end mark that cannot be written ends nothing
        ids = encoder.tokenizer(f"A{candidate}A", add_special_tokens=False)["input_ids"]
        if candidate in encoder.decode(ids):
            return candidate
    raise UserError(
        "no separator is free: every one that fewfit knows occurs in the examples",
        hint="use a model with a chat template, or take lines such as '###' out of the data",
    )
