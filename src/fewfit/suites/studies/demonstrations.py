"""Which examples stand in a training prompt: drawn at random, like the question, or some of both (arXiv 2604.01601)."""

from __future__ import annotations

from dataclasses import replace

from fewfit.grid import Lane
from fewfit.suites.studies.study import BOTH, Compared, Study, one

PROMPTED = Lane(shots=4)

STUDY = Study(
    "demonstrations",
    "Should demonstrations be random, similar to the question, or mixed?",
    (
        one("icl+ft-random", BOTH),
        one("icl+ft-similar", replace(BOTH, demonstrations="similar")),
        one("icl+ft-mixed", replace(BOTH, demonstrations="mixed")),
        one("icl-random", replace(PROMPTED, deliver="per-query")),
        one("icl-similar", replace(PROMPTED, demonstrations="similar")),
        one("icl-mixed", replace(PROMPTED, demonstrations="mixed")),
    ),
    (
        Compared("icl+ft-similar", ("icl+ft-random",)),
        Compared("icl+ft-mixed", ("icl+ft-random",)),
        Compared("icl-similar", ("icl-random",)),
        Compared("icl-mixed", ("icl-random",)),
    ),
)
