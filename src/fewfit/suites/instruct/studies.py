"""The paper's questions, each as a list of cells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Literal, NamedTuple, get_args

from fewfit.suites.instruct.conditions import QUALITIES, Condition, condition
from fewfit.writing import Sampling

Study = Literal["comparison", "quality", "decoding", "scaling", "divergence", "likelihood"]
STUDIES: tuple[Study, ...] = get_args(Study)
TEMPERATURES, NUCLEI, PENALTIES = (0.0, 0.3, 0.5, 1.0), (0.6, 0.8, 1.0), (1.0, 1.15)

COMPARED = (
    "base", "rules", "examples", "urial", "random-3", "random-10", "turns-3", "turns-3+tag", "urial+random-3",
    "searched", "ft-3", "ft-30", "icl3+ft-30",
)  # fmt: skip
SCALED = (
    "base", "random-1", "random-3", "random-10", "random-20", "random-30", "random-50", "random-100",
    "urial+random-10", "urial+random-30", "ft-3", "ft-10", "ft-30", "ft-100", "ft-300", "ft-1000", "ft-4000",
    "icl3+ft-10", "icl3+ft-30", "icl3+ft-100",
)  # fmt: skip
TUNED = "ft-30"
QUALITY = ("base", *(f"urial:{one}" if one != "correct" else "urial" for one in QUALITIES))
ON_TUNED = (TUNED, *(f"{one}@{TUNED}" for one in QUALITY[1:]))
DECODED = ("base", "urial", TUNED)
DIVERGING = ("urial", "random-10", "ft-3", TUNED, "icl3+ft-30")
LIKELY = (
    "base", "rules", "examples", "urial", "random-1", "random-3", "random-10", "random-20", "random-30", "random-50",
    *(f"random-10:{one}" for one in QUALITIES[1:]), "turns-3", "urial+random-3", "searched", "ft-3", "ft-10", TUNED,
    "icl3+ft-30",
)  # fmt: skip
NAMED: dict[Study, tuple[str, ...]] = {
    "comparison": COMPARED,
    "quality": (*QUALITY, *ON_TUNED),
    "decoding": DECODED,
    "scaling": SCALED,
    "divergence": DIVERGING,
    "likelihood": LIKELY,
}
READ: tuple[Study, ...] = ("divergence", "likelihood")  # where nothing is written, so decoding makes no difference


USUAL = Sampling(repetition_penalty=1.15)  # the paper's, on base models


class Cell(NamedTuple):
    study: Study
    condition: Condition
    sampling: Sampling
    seed: int


def cells(study: Study, names: tuple[str, ...] | None, usual: Sampling, seeds: int) -> Iterator[Cell]:
    """The first seed of all before the second of any."""
    decodings = grid() if study == "decoding" else [Sampling() if study in READ else usual]
    some = [condition(name) for name in (names or NAMED[study])]
    for seed in range(seeds):
        for one in some:
            for sampling in decodings:
                if seed == 0 or varies(one, sampling):
                    yield Cell(study, one, sampling, seed)


def grid() -> list[Sampling]:
    found = [Sampling(*one) for one in product(TEMPERATURES, NUCLEI, PENALTIES)]
    return [one for one in found if one.temperature or one.top_p == 1.0]


def varies(one: Condition, sampling: Sampling) -> bool:
    """Whether another seed makes another cell: by what is drawn, trained or sampled."""
    drawn = one.drawn or one.weights or one.quality in ("in-domain", "out-of-domain")
    return bool(drawn) or sampling.temperature > 0
