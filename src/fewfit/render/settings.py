"""What a renderer has decided, frozen. It goes into run.json and bundle.json: what is served is what was tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

TEMPLATE = "Input: {prompt}\nOutput: {completion}"
BLANK_LINE = "\n\n"


@dataclass(frozen=True)
class RenderSettings:
    """Everything beside the tokenizer that a prompt's text depends on."""

    chat: bool
    chat_reason: str
    # plain: the first paragraph; chat: before the system turn's text, or before the first user turn's
    instruction: str | None = None
    system: str | None = None
    # plain: one item; the separator joins items and is the end mark of an answer
    template: str = TEMPLATE
    separator: str = BLANK_LINE
    max_length: int | None = None
    # the longest answer, its end included, that must fit behind any prompt
    max_new_tokens: int = 64
    choices: tuple[str, ...] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    # the day that a template is told which asks for one (ISO); None where it does not ask
    date: str | None = None
    # the template refuses system turns, so their text stands before the first user turn's
    merge_system: bool = False
    # the template reads a turn's content as a list of parts, not as text
    content_parts: bool = False
    # what stands before an answer and the template's own generation prompt does not write, and the other way round;
    # baked exports have to mend both
    generation_prompt_lacks: str = ""
    generation_prompt_surplus: str = ""
    # examples whose text looks like a special token: encoded as text here, read otherwise by other servers
    lookalikes: int = 0

    def as_json(self) -> dict[str, Any]:
        record = asdict(self)
        record["template_kwargs"] = dict(self.template_kwargs)
        record["choices"] = None if self.choices is None else list(self.choices)
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> RenderSettings:
        # names that this version does not know are passed over: a later one may have added them
        known = {f.name for f in fields(RenderSettings)}
        values = {name: value for name, value in record.items() if name in known}
        if values.get("choices") is not None:
            values["choices"] = tuple(values["choices"])
        values["template_kwargs"] = dict(values.get("template_kwargs") or {})
        return RenderSettings(**values)
