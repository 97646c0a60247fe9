"""The headings and fences that a conversation is written in, as arXiv 2312.01552 (URIAL) does it."""

from __future__ import annotations

from dataclasses import dataclass

from fewfit.errors import UserError
from fewfit.prompts.conversation import Conversation, Turn

TAG = "# End of conversation"  # one that can be given; by default there is none


@dataclass(frozen=True)
class Frame:
    """`inline`: a query stands on the line of its fence. `tag` is a line between conversations, the one that is going
    on included: with turns of a query each it tells what belongs together."""

    query_head: str = "# Query:"
    answer_head: str = "# Answer:"
    fence: str = "```"
    inline: bool = False
    tag: str = ""

    def __post_init__(self) -> None:
        for name, mark in (("query_head", self.query_head), ("answer_head", self.answer_head)):
            if not mark.strip():
                raise UserError(f"a frame without {name}", hint="answers end where the next heading stands: give one")
        for mark in (self.query_head, self.answer_head, self.fence, self.tag):
            if mark != mark.strip() or "\n" in mark:
                raise UserError(f"{mark!r} in a frame", hint="give one line without white space around it")

    # ---- writing -----------------------------------------------------------------------------------------------------

    @property
    def opening(self) -> str:
        """What stands before any query."""
        return f"{self.query_head}\n{self.fence}" if self.inline else self._under(self.query_head)

    def to_answer(self, query: str) -> str:
        """From the query to where its answer begins."""
        border = "" if self.inline or not self.fence else "\n"
        return f"{query.strip()}{border}{self.fence}\n\n{self._under(self.answer_head)}"

    def closed(self, answer: str) -> str:
        return f"{answer.strip()}\n{self.fence}" if self.fence else answer.strip()

    def conversation(self, shown: Conversation) -> str:
        return "\n\n".join(self._turn(turn) for turn in shown.turns)

    def _turn(self, turn: Turn) -> str:
        if not turn.query:
            return self._under(self.answer_head) + self.closed(turn.answer)
        whole = self.opening + self.to_answer(turn.query)
        if not turn.answer:
            return whole.removesuffix(f"\n\n{self._under(self.answer_head)}")
        return whole + self.closed(turn.answer)

    def _under(self, head: str) -> str:
        return f"{head}\n{self.fence}\n" if self.fence else f"{head}\n"

    # ---- reading -----------------------------------------------------------------------------------------------------

    @property
    def stop(self) -> tuple[str, ...]:
        """Where a model goes on with the next turn by itself. A fence is no stop: it may close a listing within the
        answer."""
        return tuple(f"\n{mark}" for mark in (self.query_head, self.answer_head, self.tag) if mark)

    def answer(self, text: str) -> str:
        """What was written, up to the next heading or the fence that closes it."""
        marks = {self.query_head, self.answer_head, self.tag} - {""}
        lines = text.split("\n")
        end = next((k for k, line in enumerate(lines) if line.strip() in marks), len(lines))
        if self.fence:
            end = closing(lines[:end], self.fence)
        return "\n".join(lines[:end]).strip()


def closing(lines: list[str], fence: str) -> int:
    """The line whose fence closes the whole text. One within a listing closes that; one with a language's name beside
    it, or text right below it, opens one."""
    listing = False
    for k, line in enumerate(lines):
        if not line.strip().startswith(fence):
            continue
        if line.strip() != fence:
            listing = True
        elif listing:
            listing = False
        elif k + 1 == len(lines) or not lines[k + 1].strip():
            return k
        else:
            listing = True
    return len(lines)
