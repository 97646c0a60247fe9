"""Questions that arXiv 2512.19879 leaves open, each a small file: tasks, conditions, what is compared, what is told.

A new study is a file here and its line below.
"""

from __future__ import annotations

from fewfit.errors import UserError
from fewfit.suites.studies import (
    curve,
    demonstrations,
    forgetting,
    loss,
    noise,
    order,
    parameters,
    replay,
    shots,
    size,
    transfer,
    ttt,
)
from fewfit.suites.studies.study import Study

EVERY = (loss, shots, parameters, replay, demonstrations, size, curve, ttt, forgetting, noise, order, transfer)
STUDIES: dict[str, Study] = {one.STUDY.name: one.STUDY for one in EVERY}

__all__ = ["STUDIES", "Study", "study"]


def study(name: str) -> Study:
    if name not in STUDIES:
        raise UserError(f"no study {name}", hint=f"one of {', '.join(STUDIES)}")
    return STUDIES[name]
