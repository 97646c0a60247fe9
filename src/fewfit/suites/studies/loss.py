"""Loss on every answer of a training sequence, or on the last alone: nobody has published which is better."""

from __future__ import annotations

from dataclasses import replace

from fewfit.suites.studies.study import BOTH, Compared, Study, one

STUDY = Study(
    "loss",
    "Should every answer of a training sequence carry loss, or the last one alone?",
    (
        one("every-answer", BOTH),
        one("last-answer", replace(BOTH, loss="last-answer")),
        one("every-answer-8", replace(BOTH, shots=8)),
        one("last-answer-8", replace(BOTH, shots=8, loss="last-answer")),
    ),
    (Compared("every-answer", ("last-answer",)), Compared("every-answer-8", ("last-answer-8",))),
)
