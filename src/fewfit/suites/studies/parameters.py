"""What is trained: adapters in all layers, in the upper half, on value matrices alone (arXiv 2602.23197: those keep
what a model does in context), of a lower rank, by another optimizer, or all weights."""

from __future__ import annotations

from dataclasses import replace

from fewfit.suites.studies.study import BOTH, Compared, Study, one

WHOLE = 3e-5  # adapters want about ten times the rate of whole models, and small models more than large ones

STUDY = Study(
    "parameters",
    "Does ICL+FT need adapters everywhere, and would training all weights be better?",
    (
        one("all-layers", BOTH),
        one("upper-half", replace(BOTH, layers="upper-half")),
        one("values", replace(BOTH, layers="values")),
        one("rank-1", replace(BOTH, rank=1)),
        one("adafactor", replace(BOTH, optimizer="adafactor")),
        one("full", replace(BOTH, tune="full", lr=WHOLE)),
        one("full-adafactor", replace(BOTH, tune="full", lr=WHOLE, optimizer="adafactor")),
    ),
    (
        Compared("upper-half", ("all-layers",)),
        Compared("full", ("all-layers",)),
        Compared("values", ("all-layers",)),
        Compared("rank-1", ("all-layers",)),
        Compared("adafactor", ("all-layers",)),
        Compared("full-adafactor", ("full",)),
    ),
    budgets=(30, 100),
)
