"""A judge's model that answers by a rule, in memory or behind a real HTTP server, and answers for it to judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fewfit.draw import number
from fewfit.judges import Answered, Question
from fewfit.judges.model import Conversation, Reply

MT_BENCH = Path(__file__).resolve().parents[2] / "shared" / "data" / "mt_bench"
NO_MT_BENCH = "needs the published files in ../shared/data/mt_bench"


class Scripted:
    """Says what `says` makes of the user's text; counts what it was asked."""

    name = "scripted"

    def __init__(self, says: Callable[[str], str | Reply], seed: int = 0):
        self.says, self.seed = says, seed
        self.asked: list[Conversation] = []

    def complete(self, asked: Sequence[Conversation]) -> list[Reply]:
        self.asked += asked
        said = [self.says(one[-1].content) for one in asked]
        return [one if isinstance(one, Reply) else Reply(one) for one in said]

    def again(self, seed: int, temperature: float) -> Scripted:
        return Scripted(self.says, seed)


def graded(text: str) -> str:
    """A rating by hash; of some texts none."""
    value = number(repr(text)) % 12
    return f"So so. Rating: [[{value}]]" if value else "I would rather not say."


def prefers_longer(text: str) -> str:
    a = text.partition("<answer A>\n")[2].partition("\n</answer A>")[0]
    b = text.partition("<answer B>\n")[2].partition("\n</answer B>")[0]
    return "[[C]]" if len(a) == len(b) else "[[A]]" if len(a) > len(b) else "[[B]]"


def questions(n: int, turns: int = 2) -> list[Question]:
    return [Question(str(k), tuple(f"Ask {k}, turn {t}" for t in range(turns)), "writing") for k in range(n)]


def answered(some: Sequence[Question], text: Callable[[Question, int], str], by: str = "m") -> list[Answered]:
    return [Answered(one, tuple(text(one, turn) for turn in range(len(one.turns))), by) for one in some]


def says(body: dict[str, Any]) -> str:
    """Of the HTTP server: the model `judge` rates by hash, any other answers with a word for the whole conversation."""
    whole = repr([(one["role"], one["content"]) for one in body["messages"]])
    return graded(whole) if body["model"] == "judge" else f"answer {number(whole) % 10**9}"
