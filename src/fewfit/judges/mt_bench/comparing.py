"""Two answers at a time, each pair in both orders: only who wins in both has won."""

from __future__ import annotations

from collections.abc import Sequence

from fewfit.judges.judge import MINE, OTHER, TIE, Verdict
from fewfit.judges.model import JudgeModel, Reply
from fewfit.judges.mt_bench import reading
from fewfit.judges.mt_bench.grading import taken
from fewfit.judges.mt_bench.prompts import JudgePrompt, Prompts
from fewfit.judges.question import Answered

UNREAD = "no verdict A, B or C in it, or several"
# Who stands at A and B: mine first, then the other's first.
ORDERS = ((MINE, OTHER), (OTHER, MINE))


class PairJudge:
    """A Comparer."""

    def __init__(self, model: JudgeModel, prompts: Prompts | None = None):
        self.model, self.prompts = model, prompts or Prompts()
        self.name = f"mt-bench-pairs:{model.name}"

    def compare(self, mine: Sequence[Answered], other: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        asked = self.prompts.of_pairs(mine, other)
        replies = self.model.complete([conversation for _, conversation in asked])
        verdicts = iter([verdict(replies[k : k + 2], asked[k][0]) for k in range(0, len(asked), 2)])
        return [taken(verdicts, len(one.answers)) for one in mine]

    @property
    def key(self) -> str:
        return f"{self.name}/{self.model.key}/{self.prompts.digest}"

    def again(self, seed: int, temperature: float) -> PairJudge:
        return PairJudge(self.model.again(seed, temperature), self.prompts)


def verdict(replies: Sequence[Reply], prompt: JudgePrompt) -> Verdict:
    """`winners` are by order; where either cannot be read there is no verdict."""
    winners = [winner(reply, order) for reply, order in zip(replies, ORDERS, strict=True)]
    details = {"winners": winners, "prompt": prompt.name, "said": [reply.text for reply in replies]}
    if None in winners or any(reply.problem for reply in replies):
        problem = next((reply.problem for reply in replies if reply.problem), UNREAD)
        return Verdict(None, {**details, "reason": problem})
    agreed = winners[0] if winners[0] == winners[1] else TIE
    return Verdict({MINE: 1.0, OTHER: 0.0}.get(agreed or TIE, 0.5), details)


def winner(reply: Reply, order: tuple[str, str]) -> str | None:
    side = reading.side(reply.text)
    return None if side is None else {"A": order[0], "B": order[1], "tie": TIE}[side]
