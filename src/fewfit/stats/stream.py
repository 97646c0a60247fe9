"""The scores of all lanes on all rows, a row being one example at its place in one seed's order.

Axes: `_L` lane, `_R` row, `_E` example, `_B` resample, `_G` Gaussian draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stream:
    """Lanes are paired: they saw the same rows. Lanes stand in the order in which ties are broken, first wins.

    Every seed has its own order of the same examples, so a window ("the last half") is by place within each seed, and
    the rows of all seeds are taken together.
    """

    score_LR: Floats  # in [0, 1]; NaN where a lane has no row
    nll_LR: Floats | None  # per answer token and clipped (`likelihood_per_token`); None where any lane lacks it
    example_R: Ints  # 0 .. examples - 1
    place_R: Ints  # from 1, within each seed
    can_win_L: Bools  # false for lanes that were dropped or diverged, and wherever a row is missing
    flat: bool = False  # nothing was learnt between one row and the next: every window is the whole

    @staticmethod
    def of(
        score_LR: Floats,
        nll_LR: Floats | None = None,
        *,
        example_R: Ints | None = None,
        place_R: Ints | None = None,
        can_win_L: Bools | None = None,
    ) -> Stream:
        """Fills in what is left out: one seed, example i at place i; whoever has all rows can win."""
        rows = score_LR.shape[1]
        complete_L = ~np.isnan(score_LR).any(axis=1)
        return Stream(
            score_LR=np.asarray(score_LR, dtype=np.float64),
            nll_LR=nll_LR,
            example_R=np.arange(rows) if example_R is None else np.asarray(example_R),
            place_R=np.arange(1, rows + 1) if place_R is None else np.asarray(place_R),
            can_win_L=np.asarray(complete_L if can_win_L is None else complete_L & can_win_L),
        )

    @property
    def lanes(self) -> int:
        return int(self.score_LR.shape[0])

    @property
    def examples(self) -> int:
        return int(self.example_R.max()) + 1

    @property
    def places(self) -> int:
        return int(self.place_R.max())

    @property
    def seeds(self) -> int:
        return int(np.bincount(self.place_R).max())

    def after(self, place: int) -> Bools:
        """The rows later than `place` in their seed's order."""
        return np.asarray((self.place_R > place) | self.flat)

    @property
    def whole(self) -> Bools:
        return self.after(0)

    @property
    def last_half(self) -> Bools:
        return self.after(self.places // 2)


def by_example(values_LR: Floats, example_R: Ints, examples: int) -> tuple[Floats, Floats]:
    """Sums and counts of the rows that are there, example by example: sum_LE, count_LE."""
    lanes = values_LR.shape[0]
    there_LR = ~np.isnan(values_LR)
    cell_LR = np.arange(lanes)[:, None] * examples + example_R[None, :]
    cells = lanes * examples
    sum_LE = np.bincount(cell_LR.ravel(), np.where(there_LR, values_LR, 0.0).ravel(), cells)
    count_LE = np.bincount(cell_LR.ravel(), there_LR.ravel(), cells)
    return sum_LE.reshape(lanes, examples).astype(np.float64), count_LE.reshape(lanes, examples).astype(np.float64)
