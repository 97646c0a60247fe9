"""A local model as judge, by how likely it finds each verdict: what a small one writes holds none to read.

The same prompts as in grading.py and comparing.py. The rating is the mean over 1 to 10 by their probabilities among
each other, a preference the probability of the side, half of a tie's. Nothing is sampled, so asked again it is asked in
other words (`again`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewfit.engine.likelihood import logp
from fewfit.engine.task import softmax
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.judges.judge import MINE, OTHER, TIE, Verdict
from fewfit.judges.model import TOO_LONG, Conversation, LocalModel
from fewfit.judges.mt_bench import reading
from fewfit.judges.mt_bench.comparing import ORDERS
from fewfit.judges.mt_bench.grading import taken
from fewfit.judges.mt_bench.prompts import Prompts
from fewfit.judges.question import Answered

RATINGS = {f"Rating: [[{n}]]": n for n in range(1, 11)}
SIDES = ("[[A]]", "[[B]]", "[[C]]")


class LikelyJudge:
    """A Judge, and a Comparer."""

    def __init__(self, model: LocalModel, prompts: Prompts | None = None):
        self.model, self.prompts = model, prompts or Prompts()
        self.name = f"mt-bench-likely:{model.name}"

    @property
    def key(self) -> str:
        return f"{self.name}/{self.model.key}/{self.prompts.digest}"

    def judge(self, answered: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        asked = [conversation for _, conversation in self.prompts.of_each(answered)]
        verdicts = iter([graded(shares) for shares in self.shares(asked, tuple(RATINGS))])
        return [taken(verdicts, len(one.answers)) for one in answered]

    def compare(self, mine: Sequence[Answered], other: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        asked = [conversation for _, conversation in self.prompts.of_pairs(mine, other)]
        shares = self.shares(asked, SIDES)
        verdicts = iter([compared(shares[k : k + 2]) for k in range(0, len(shares), 2)])
        return [taken(verdicts, len(one.answers)) for one in mine]

    def again(self, seed: int, temperature: float) -> LikelyJudge:
        return LikelyJudge(self.model, self.prompts.reworded())

    def shares(self, asked: Sequence[Conversation], answers: tuple[str, ...]) -> list[dict[str, float] | None]:
        """Of each answer among the others; None where the prompt does not fit."""
        loaded, renderer = self.model.loaded, self.model.writer.renderer
        found: list[dict[str, float] | None] = []
        for one in asked:
            shares = self.model.recall(one, answers)
            prompt = None if shares else prompt_of(renderer, one, self.model.writer.limit)
            if prompt is not None:
                (values,) = logp(loaded.model, None, [prompt.ids], [renderer.continuations(prompt, answers)])
                shares = softmax(answers, values)
                self.model.remember(one, answers, shares)
            found.append(shares)
        return found


def prompt_of(renderer: Any, one: Conversation, limit: int | None) -> Any:
    try:
        prompt = renderer.prompt((), Example("judged", one, ""))
    except UserError as error:
        if error.code != "too-long":
            raise
        return None
    return None if limit is not None and len(prompt.ids) + 16 > limit else prompt


def graded(shares: dict[str, float] | None) -> Verdict:
    if shares is None:
        return Verdict(None, {"reason": TOO_LONG})
    rating = sum(RATINGS[name] * share for name, share in shares.items())
    return Verdict(reading.score(rating), {"rating": rating, "shares": list(shares.values())})


def compared(both: Sequence[dict[str, float] | None]) -> Verdict:
    """The mean of both orders; `winners` are by order, the likeliest side each time."""
    winners, preferences = [], []
    for shares, order in zip(both, ORDERS, strict=True):
        if shares is None:
            return Verdict(None, {"reason": TOO_LONG})
        side = max(SIDES, key=lambda name: shares[name])
        winners.append({SIDES[0]: order[0], SIDES[1]: order[1], SIDES[2]: TIE}[side])
        first = shares[SIDES[0]] + shares[SIDES[2]] / 2
        preferences.append(first if order == (MINE, OTHER) else 1 - first)
    return Verdict(sum(preferences) / 2, {"winners": winners})
