"""MT-Bench's protocol (Zheng et al., arXiv 2306.05685): a model as the judge of answers over two turns.

questions.py   the published questions and reference answers, or a folder of the same shape
prompts.py     what the judge is asked, published or in fewfit's own words
reading.py     a rating or a preference out of what it says
grading.py     one answer at a time, 1 to 10
comparing.py   two answers at a time, in both orders
likely.py      both by how likely a local model finds each verdict
"""

from fewfit.judges.mt_bench.comparing import PairJudge
from fewfit.judges.mt_bench.grading import GradeJudge
from fewfit.judges.mt_bench.likely import LikelyJudge
from fewfit.judges.mt_bench.prompts import JudgePrompt, Prompts
from fewfit.judges.mt_bench.questions import ANSWER_TEMPERATURE, ANSWER_TOKENS, load

__all__ = [
    "ANSWER_TEMPERATURE",
    "ANSWER_TOKENS",
    "GradeJudge",
    "JudgePrompt",
    "LikelyJudge",
    "PairJudge",
    "Prompts",
    "load",
]
