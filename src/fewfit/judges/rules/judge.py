"""A judge whose verdict a program gives: which of a turn's checks does the answer keep?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fewfit.judges.judge import NOTHING, Verdict
from fewfit.judges.question import Answered, Check
from fewfit.judges.rules.book import rule_of
from fewfit.judges.rules.language import detect as detect_language
from fewfit.judges.rules.rule import Detect
from fewfit.metrics.metric import code_of


@dataclass(frozen=True)
class RulesJudge:
    """`strict` judges the answer as it is; without it a check also holds where it holds for the answer without its
    first line, its last line or both, with its asterisks or without. Details have both. `detect` names a text's
    language by its code, or says None."""

    name: str = "rules"
    strict: bool = True
    detect: Detect = detect_language

    @property
    def key(self) -> str:
        by = getattr(self.detect, "__module__", "")
        return f"{self.name}/{self.strict}/{by if self.detect is detect_language else code_of(self.detect)}"

    def judge(self, answered: Sequence[Answered]) -> list[tuple[Verdict, ...]]:
        return [
            tuple(
                self._verdict(one.question.checks[turn] if turn < len(one.question.checks) else (), answer)
                for turn, answer in enumerate(one.answers)
            )
            for one in answered
        ]

    def _verdict(self, checks: Sequence[Check], answer: str) -> Verdict:
        if not checks:
            return Verdict(None, {"reason": NOTHING})
        found = [{"check": check.name, **self._held(check, answer)} for check in checks]
        held = [one["strict" if self.strict else "loose"] for one in found]
        return Verdict(sum(map(bool, held)) / len(held), {"checks": found, "all": all(held)})

    def _held(self, check: Check, answer: str) -> dict[str, bool]:
        rule = rule_of(check)
        strict = rule.held(answer, check.arguments, self.detect)
        loose = strict or any(rule.held(text, check.arguments, self.detect) for text in loosened(answer))
        return {"strict": strict, "loose": loose}


def loosened(answer: str) -> list[str]:
    """The published variants, each once."""
    lines = answer.split("\n")
    kept = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [one for one in dict.fromkeys([*kept, *(text.replace("*", "") for text in kept)]) if one != answer]


@dataclass(frozen=True)
class Summary:
    """Shares kept: of prompts, which keep all their checks, and of checks ("instructions" in the papers)."""

    prompts: int
    checks: int
    prompt_strict: float
    prompt_loose: float
    check_strict: float
    check_loose: float


def summary(verdicts: Iterable[Sequence[Verdict]], turn: int | None = None) -> Summary | None:
    """Of all turns that have checks, or of one, the first being 1; None where there are none. A turn counts as a
    prompt."""
    judged = [
        one.details["checks"]
        for turns in verdicts
        for k, one in enumerate(turns, start=1)
        if "checks" in one.details and turn in (None, k)
    ]
    checks = [one for found in judged for one in found]
    if not judged:
        return None
    return Summary(
        len(judged),
        len(checks),
        *(sum(all(one[how] for one in found) for found in judged) / len(judged) for how in ("strict", "loose")),
        *(sum(one[how] for one in checks) / len(checks) for how in ("strict", "loose")),
    )
