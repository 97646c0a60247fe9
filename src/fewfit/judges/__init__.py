"""Who says how good an answer is: programs, models, comparisons."""

from fewfit.judges.judge import Comparer, Judge, Verdict
from fewfit.judges.question import Answered, Check, Question
from fewfit.judges.tally import Tally, tally

__all__ = ["Answered", "Check", "Comparer", "Judge", "Question", "Tally", "Verdict", "tally"]
