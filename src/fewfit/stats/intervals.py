"""Intervals for a proportion and for a paired difference, and how far the best of many lanes strays by chance."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fewfit.stats.criterion import generator
from fewfit.stats.stream import Floats

TWO_SIDED = 1.96  # what one lane, fixed beforehand, would need at 95%
DRAWS = 400
BISECTIONS = 60


def clopper_pearson(hits: float, n: float, quantile: float = TWO_SIDED) -> tuple[float, float]:
    """95% interval for a proportion; `hits` and `n` need not be whole. `quantile` moves the lower end out further.

    Only the lower end, since having been chosen can only flatter.
    """
    from scipy.special import betaincinv, ndtr  # a quarter of a second, which commands that count nothing need not wait

    low = 0.0 if hits <= 0 else float(betaincinv(hits, n - hits + 1, ndtr(-quantile)))
    high = 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, 0.975))
    return low, high


@lru_cache(maxsize=8)
def gaussians(examples: int) -> Floats:
    """400 draws, one entry an example."""
    draw_GE = generator(f"gaussians {examples}").standard_normal((DRAWS, examples))
    draw_GE.setflags(write=False)
    return draw_GE


def largest_quantile(deviation_GL: Floats, level: float) -> float:
    """The quantile of the largest deviation among lanes, never below what one lane alone needs."""
    if deviation_GL.shape[1] == 0:
        return TWO_SIDED
    return max(TWO_SIDED, float(np.quantile(deviation_GL.max(axis=1), level)))


def tango_statistic(delta: float, gains: float, losses: float, n: float) -> float:
    """Tango's score statistic (Statistics in Medicine 17, 1998) for a paired difference `delta`.

    `gains` and `losses` are sums of positive and of negative differences, so scores in [0, 1] will do as well as hits.
    """
    linear = -gains - losses + (2 * n - gains + losses) * delta
    constant = -losses * delta * (1 - delta)
    expected = (np.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * expected + delta * (1 - delta))
    above = gains - losses - n * delta
    if variance <= 0:
        return float(np.sign(above) * np.inf) if above else 0.0
    return float(above / np.sqrt(variance))


def tango_interval(
    gains: float, losses: float, n: float, low_quantile: float = TWO_SIDED, high_quantile: float = TWO_SIDED
) -> tuple[float, float]:
    """The differences that the statistic does not refuse; it falls as the difference grows."""
    centre = (gains - losses) / n

    def crossing(left: float, right: float, level: float) -> float:
        for _ in range(BISECTIONS):
            middle = (left + right) / 2
            if tango_statistic(middle, gains, losses, n) > level:
                left = middle
            else:
                right = middle
        return (left + right) / 2

    return crossing(-1.0, centre, low_quantile), crossing(centre, 1.0, -high_quantile)
