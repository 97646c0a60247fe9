"""Is one kind of lanes better than another, when the best lane of each was picked first?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewfit.stats.chosen import ROWS_TO_COUNT, optimism
from fewfit.stats.criterion import Resamples
from fewfit.stats.intervals import gaussians, largest_quantile, tango_interval
from fewfit.stats.stream import Bools, Floats, Ints, Stream, by_example


@dataclass(frozen=True)
class Difference:
    """This kind's chosen lane less the other's; swapping kinds flips signs and nothing else."""

    point: float  # corrected for both choices
    low: float
    high: float
    plain: float
    examples: int  # in the window


def difference_of_kinds(
    stream: Stream,
    window_R: Bools,
    this_L: Bools,
    other_L: Bools,
    chosen: tuple[int, int],
    resamples: Resamples,
) -> Difference:
    """`chosen` are the two kinds' chosen lanes; lanes that were dropped count with the rows they have.

    Scores are first averaged over seeds, example by example: Tango's interval knows nothing of clusters.
    """
    rows = np.flatnonzero(window_R)
    sum_LE, count_LE = by_example(stream.score_LR[:, rows], stream.example_R[rows], stream.examples)
    seen_E = count_LE[chosen[0]] > 0
    score_LE = np.where(count_LE > 0, sum_LE / np.maximum(count_LE, 1), np.nan)[:, seen_E]
    draw_GE = gaussians(stream.examples)[:, seen_E]
    examples = int(seen_E.sum())

    this, other = chosen
    low_quantile = largest_quantile(deviations(score_LE, np.flatnonzero(this_L), other, draw_GE), 0.975)
    high_quantile = largest_quantile(deviations(score_LE, np.flatnonzero(other_L), this, draw_GE), 0.975)
    difference_E = score_LE[this] - score_LE[other]
    gains = float(difference_E[difference_E > 0].sum())
    losses = -float(difference_E[difference_E < 0].sum())
    low, high = tango_interval(gains, losses, examples, low_quantile, high_quantile)

    plain = float(difference_E.mean())
    chosen_BE = score_LE[resamples.chosen(this_L)] - score_LE[resamples.chosen(other_L)]
    gain = optimism(chosen_BE, np.ones_like(chosen_BE), resamples.weight_BE[:, seen_E])
    point = plain if gain is None else (gain[0] + plain - gain[1]) / 2
    return Difference(point, low, high, plain, examples)


def deviations(score_LE: Floats, lanes: Ints, against: int, draw_GE: Floats) -> Floats:
    """How far each lane's lead over `against` strays by chance, in standard errors: deviation_GK.

    Two pseudo-observations of one keep the standard error off zero where two lanes hardly ever differ.
    """
    difference_KE = score_LE[lanes] - score_LE[against]
    there_KE = ~np.isnan(difference_KE)
    count_K = there_KE.sum(axis=1)
    counts_K = (count_K == score_LE.shape[1]) | (count_K >= ROWS_TO_COUNT)
    difference_KE, there_KE, n_K = difference_KE[counts_K], there_KE[counts_K], count_K[counts_K]
    difference_KE = np.where(there_KE, difference_KE, 0.0)
    total_K = difference_KE.sum(axis=1)
    shrunk_K = total_K / (n_K + 2)
    variance_K = (np.square(difference_KE).sum(axis=1) + 2) / (n_K + 2) - np.square(shrunk_K)
    error_K = np.sqrt(variance_K / (n_K + 2))
    centred_KE = np.where(there_KE, difference_KE - (total_K / n_K)[:, None], 0.0)
    return (draw_GE @ centred_KE.T) / (n_K * error_K)
