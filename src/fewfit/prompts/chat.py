"""The same conversations as turns, for a model that has a chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fewfit.examples.example import Message
from fewfit.prompts.conversation import Conversation, Turn
from fewfit.writing import AskedInTurns


@dataclass(frozen=True)
class ChatPrompt:
    """`rules` are the system's turn. Where one example ends and the next begins, templates have no mark for."""

    name: str
    rules: str = ""
    demonstrations: tuple[Conversation, ...] = ()

    @property
    def stop(self) -> tuple[str, ...]:
        """The template's own end of a turn."""
        return ()

    def asked(self, history: Sequence[Turn], query: str) -> AskedInTurns:
        system = [Message("system", self.rules)] if self.rules else []
        shown = [message for one in self.demonstrations for turn in one.turns for message in messages(turn)]
        # An answer may be empty and is a turn all the same: many templates want turns to alternate.
        before = [message for turn in history for message in both(turn)]
        return AskedInTurns((*system, *shown), (*before, Message("user", query)))

    def answer(self, text: str) -> str:
        return text.strip()

    def last(self, number: int) -> ChatPrompt:
        kept = self.demonstrations[len(self.demonstrations) - number :]
        return replace(self, demonstrations=kept)


def messages(turn: Turn) -> list[Message]:
    """What an example leaves empty is left out."""
    return [one for one in both(turn) if one.content]


def both(turn: Turn) -> tuple[Message, Message]:
    return Message("user", turn.query), Message("assistant", turn.answer)
