"""Judges whose verdict a program gives: the checks of IFEval and IFBench, and conversations made of their questions."""

from fewfit.judges.rules.book import RULES, describe
from fewfit.judges.rules.judge import RulesJudge, Summary, summary
from fewfit.judges.rules.language import detect
from fewfit.judges.rules.loading import load
from fewfit.judges.rules.turns import MOST_TURNS, chain, split, together

__all__ = [
    "MOST_TURNS",
    "RULES",
    "RulesJudge",
    "Summary",
    "chain",
    "describe",
    "detect",
    "load",
    "split",
    "summary",
    "together",
]
