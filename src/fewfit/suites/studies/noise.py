"""Wrong answers: a fifth or two fifths of them, in demonstrations, in what is trained on, or in both.

FT has no demonstrations and ICL trains on nothing: each meets one of the two. ICL+FT with loss on every answer trains
on its demonstrations' answers as well; with loss on the last one alone the two are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewfit.grid import Lane
from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one, told_of_tasks
from fewfit.suites.tasks.altered import AS_SHOWN, WRONG
from fewfit.suites.tasks.comparing import Difference, Row

OF = ("sst2", "trec", "animal_v_object_3", "present-past")
KINDS = ("wrong20", "wrong40", "wrong20-shown", "wrong40-shown", "wrong20-taught", "wrong40-taught")
HEEDING = replace(BOTH, demonstrations=AS_SHOWN)


def report(rows: Sequence[Row], found: Sequence[Difference]) -> list[str]:
    """Against the same tasks without wrong answers."""
    wrong = [(row["task"], told) for row in rows if (told := WRONG.fullmatch(row["task"]))]
    lines = []
    for kind in KINDS:
        pairs = dict.fromkeys((task, told[3]) for task, told in wrong if task == f"{kind}-{told[3]}")
        lines += told_of_tasks(rows, list(pairs), f"{kind} against right answers")
    return lines


STUDY = Study(
    "noise",
    "What do wrong answers cost prompting, tuning and both, and where?",
    (
        one("icl", Lane(shots=4, demonstrations=AS_SHOWN, deliver="fixed")),
        one("ft", TUNED),
        one("icl+ft", HEEDING),
        one("icl+ft-last", replace(HEEDING, loss="last-answer")),
    ),
    (Compared("icl+ft", ("icl", "ft")), Compared("icl+ft-last", ("icl+ft",)), Compared("ft", ("icl",))),
    tasks=tuple(name for task in OF for name in (task, *(f"{kind}-{task}" for kind in KINDS))),
    budgets=(30, 100),
    report=report,
    quick=("kinds", "wrong40-kinds"),
)
