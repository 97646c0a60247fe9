"""Shots in training × shots at use. The paper found no pattern and tells no figures."""

from __future__ import annotations

from dataclasses import replace

from fewfit.grid import Lane
from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one

TRAINED, USED = (0, 1, 4, 8), (0, 1, 4, 8)


def name(trained: int, used: int) -> str:
    return f"{trained}-{used}"


def lane_of(trained: int, used: int) -> Lane:
    base = replace(BOTH, shots=trained) if trained else TUNED
    return base if trained == used else replace(base, use_shots=used)


STUDY = Study(
    "shots",
    "Should a model be asked with as many shots as it was trained with? (trained-used)",
    tuple(one(name(trained, used), lane_of(trained, used)) for trained in TRAINED for used in USED),
    (
        *(Compared(name(k, k), tuple(name(k, u) for u in USED if u != k)) for k in TRAINED if k),
        *(Compared(name(k, k), (name(0, 0),)) for k in TRAINED if k),
    ),
    budgets=(30,),
)
