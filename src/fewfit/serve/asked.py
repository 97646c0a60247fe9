"""Bodies of requests. What is not known is refused, and so is what would have to be passed over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_STOPS = 4
Text = Annotated[str, Field(max_length=1_000_000)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
Zero = Annotated[float, Field(ge=0, le=0)]
Label = Annotated[str, Field(min_length=1, max_length=10_000)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    model: Annotated[str, Field(max_length=200)]
    user: str | None = Field(None, description="Passed over.")


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    include_usage: bool = False


class Written(Body):
    """What both ways to ask for text share. Where it does not say how, a bundle writes as it was tested."""

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: dict[str, Any] | None = Field(None, description="Passed over.")
    store: bool | None = Field(None, description="Passed over.")
    frequency_penalty: Zero | None = Field(None, description="Not offered: 0 alone.")
    presence_penalty: Zero | None = Field(None, description="Not offered: 0 alone.")

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionBody(Written):
    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=64)]
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: Literal[False] | None = None
    suffix: None = None
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["text"]
    text: Text


class Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(min_length=1)]
    name: str | None = Field(None, description="Passed over.")
    refusal: None = None


class TextFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["text"]


class ChatBody(Written):
    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: TextFormat | None = None


class LabelBody(Body):
    """An extension: the probabilities of a bundle's choices, or of those that are given."""

    input: Text | Annotated[list[Turn], Field(min_length=1, max_length=1000)]
    choices: Annotated[list[Label], Field(min_length=2, max_length=256)] | None = None


def query_of(turns: list[Turn]) -> str | list[dict[str, str]]:
    """A single message of the user is its text, as `fewfit predict RUN TEXT` takes it; more are a conversation, which
    ends with the query."""
    rows = []
    for turn in turns:
        content = turn.content if isinstance(turn.content, str) else "".join(part.text for part in turn.content)
        rows.append({"role": "system" if turn.role == "developer" else turn.role, "content": content})
    return rows[0]["content"] if len(rows) == 1 and rows[0]["role"] == "user" else rows
