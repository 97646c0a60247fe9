"""Who says how good an answer is: programs, models, comparisons."""

from fewfit.judges.judge import MINE, OTHER, TIE, Comparer, Judge, Verdict
from fewfit.judges.question import Answered, Check, Question
from fewfit.judges.tally import Tally, tally

__all__ = [
    "MINE",
    "OTHER",
    "TIE",
    "Answered",
    "Check",
    "Comparer",
    "Judge",
    "Question",
    "Tally",
    "Verdict",
    "tally",
]
