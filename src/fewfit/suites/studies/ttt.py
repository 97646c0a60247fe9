"""Test-time training (arXiv 2411.07279): each example in turn is left out and asked behind all others, in ever new
orders, with loss on every answer; a new question is asked behind all of them. It is ICL+FT with as many shots as there
are examples. They train afresh, i.i.d.; in the order of a stream the same gives an honest score on the way.
"""

from __future__ import annotations

from dataclasses import replace

from fewfit.grid import Lane
from fewfit.suites.studies.study import BOTH, Compared, Study, one

ALL = 30  # the larger budget: of fewer examples all are shown
TTT = replace(BOTH, shots=ALL, replay="passes")

STUDY = Study(
    "ttt",
    "Is test-time training, on all examples but one at a time, better than ICL+FT in the order of a stream?",
    (
        one("ttt", TTT, again=True),
        one("icl+ft", BOTH),
        one("ttt-stream", TTT),
        one("icl+ft-iid", BOTH, again=True),
        one("icl-all", Lane(shots=ALL, deliver="per-query")),
    ),
    (
        Compared("ttt", ("icl+ft",)),
        Compared("ttt-stream", ("icl+ft",)),
        Compared("ttt", ("icl+ft-iid",)),
        Compared("ttt", ("icl-all",)),
    ),
    budgets=(10, ALL),
    largest=ALL,
)
