"""Questions that arXiv 2512.19879 leaves open, each a small file: tasks, conditions, what is compared, what is told.

A new study is a file here and its line below.
"""

from __future__ import annotations

from fewfit.errors import UserError
from fewfit.suites.studies import curve, demonstrations, loss, parameters, replay, shots, size, ttt
from fewfit.suites.studies.study import Study

STUDIES: dict[str, Study] = {
    one.name: one
    for one in (
        loss.STUDY,
        shots.STUDY,
        parameters.STUDY,
        replay.STUDY,
        demonstrations.STUDY,
        size.STUDY,
        curve.STUDY,
        ttt.STUDY,
    )
}

__all__ = ["STUDIES", "Study", "study"]


def study(name: str) -> Study:
    if name not in STUDIES:
        raise UserError(f"no study {name}", hint=f"one of {', '.join(STUDIES)}")
    return STUDIES[name]
