"""A prompt of plain text for a model that goes on with text: rules, examples, and the conversation so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fewfit.prompts.conversation import Conversation, Turn
from fewfit.prompts.frame import Frame
from fewfit.writing import Asked


@dataclass(frozen=True)
class UrialPrompt:
    """`as_written` holds examples as they stand in the file that they were read from, where that differs from what the
    frame would write; an example that was changed since is another one, and the frame's."""

    name: str
    rules: str = ""
    demonstrations: tuple[Conversation, ...] = ()
    frame: Frame = field(default_factory=Frame)
    as_written: Mapping[Conversation, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def stop(self) -> tuple[str, ...]:
        return self.frame.stop

    @property
    def text(self) -> str:
        """All that stands before the conversation that is going on."""
        tag = f"{self.frame.tag}\n\n" if self.frame.tag else ""
        shown = [self.as_written.get(one) or self.frame.conversation(one) for one in self.demonstrations]
        return (apart(self.rules) if self.rules else "") + "".join(apart(one) + tag for one in shown)

    def asked(self, history: Sequence[Turn], query: str) -> Asked:
        frame = self.frame
        before = "".join(
            f"{frame.to_answer(turn.query)}{frame.closed(turn.answer)}\n\n{frame.opening}" for turn in history
        )
        return Asked(self.text + frame.opening, before + frame.to_answer(query))

    def answer(self, text: str) -> str:
        return self.frame.answer(text)

    def last(self, number: int) -> UrialPrompt:
        kept = self.demonstrations[len(self.demonstrations) - number :]
        return replace(self, demonstrations=kept)


def apart(text: str) -> str:
    """With a blank line behind it, unless it ends in one."""
    return text + "\n" * max(0, 2 - (len(text) - len(text.rstrip("\n"))))
