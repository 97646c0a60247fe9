"""The judges that ask a model, for the list of test_judges.py."""

from __future__ import annotations

from fewfit.judges import Comparer, Judge
from fewfit.judges.mt_bench import GradeJudge, PairJudge
from tests.judges_made import Scripted, graded, prefers_longer

JUDGES: list[Judge] = [GradeJudge(Scripted(graded))]
COMPARERS: list[Comparer] = [PairJudge(Scripted(prefers_longer))]
