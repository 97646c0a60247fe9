"""One answer at a time, 1 to 10."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from fewfit.judges.judge import Verdict
from fewfit.judges.model import JudgeModel, Reply
from fewfit.judges.mt_bench import reading
from fewfit.judges.mt_bench.prompts import JudgePrompt, Prompts
from fewfit.judges.question import Answered

UNREAD = "no rating from 1 to 10 in it"


class GradeJudge:
    """A Judge. At the second turn it is shown both, and told to look at the second."""

    def __init__(self, model: JudgeModel, prompts: Prompts | None = None):
        self.model, self.prompts = model, prompts or Prompts()
        self.name = f"mt-bench:{model.name}"

    def judge(self, answered: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        asked = self.prompts.of_each(answered)
        replies = self.model.complete([conversation for _, conversation in asked])
        verdicts = iter([verdict(reply, prompt) for reply, (prompt, _) in zip(replies, asked, strict=True)])
        return [taken(verdicts, len(one.answers)) for one in answered]

    @property
    def key(self) -> str:
        """Whatever a verdict hangs on beside the answers."""
        return f"{self.name}/{self.model.key}/{self.prompts.digest}"

    def again(self, seed: int, temperature: float) -> GradeJudge:
        return GradeJudge(self.model.again(seed, temperature), self.prompts)


def verdict(reply: Reply, prompt: JudgePrompt) -> Verdict:
    rating = reading.rating(reply.text)
    details = {"rating": rating, "prompt": prompt.name, "said": reply.text}
    if rating is None or reply.problem:
        return Verdict(None, {**details, "reason": reply.problem or UNREAD})
    return Verdict(reading.score(rating), details)


def taken(verdicts: Iterator[Verdict], number: int) -> tuple[Verdict, ...]:
    return tuple(islice(verdicts, number))
