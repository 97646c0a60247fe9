"""How often mine are preferred to a baseline's, had the answers been equally long.

Judges prefer long answers. So the preference is regressed on the difference of lengths, and the difference is then set
to none (AlpacaEval 2.0's length-controlled win rate, Dubois et al., arXiv 2404.04475):

    logit P(mine preferred) = strength + length · tanh(difference / its standard deviation) + rest · difficulty

Nothing in it knows which of the two is the baseline: with the two swapped every sign turns, and the win rate is 100
minus what it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewfit.judges.judge import Verdict
from fewfit.judges.question import Answered

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
ROUNDS, CLOSE = 100, 1e-12  # of Newton's method, which needs about six
FURTHEST = 30.0  # beyond these log-odds a preference is certain to the last bit


@dataclass(frozen=True)
class WinRate:
    """`rate` and its 95% `interval` at equal lengths, `raw` as the judge said it; all of 100. `length` is what the
    judge gives for length, in log-odds: 0 is nothing. Of `n` instructions; for `unread` ones no preference could be
    read."""

    rate: float
    interval: tuple[float, float]
    raw: float
    length: float
    n: int
    unread: int = 0


def win_rate(
    preferences: Sequence[float | None],
    lengths: Sequence[float],
    other_lengths: Sequence[float],
    difficulty: Sequence[float] | None = None,
) -> WinRate:
    """Preferences for mine, in [0, 1], one an instruction; None where there is none. `difficulty` is of the
    instructions, measured on other models (see `difficulties`)."""
    there = [k for k, one in enumerate(preferences) if one is not None]
    if len(there) < 2:
        raise ValueError(f"a win rate of {len(there)} preferences")
    preferred_N = np.array([preferences[k] for k in there], dtype=np.float64)
    if not ((preferred_N >= 0) & (preferred_N <= 1)).all():
        raise ValueError("a preference lies in [0, 1]")
    longer_N = (np.asarray(lengths, dtype=np.float64) - np.asarray(other_lengths, dtype=np.float64))[there]
    columns = [np.ones(len(there)), bounded(longer_N)]
    if difficulty is not None:
        columns.append(standardised(np.asarray(difficulty, dtype=np.float64)[there]))
    design_NK = np.stack(columns, axis=1)
    coefficient_K, covariance_KK = regress(design_NK, preferred_N)
    design_NK[:, 1] = 0.0  # equally long
    rate, low, high = mean_preference(design_NK, coefficient_K, covariance_KK)
    raw = float(preferred_N.mean())
    unread = len(preferences) - len(there)
    return WinRate(100 * rate, (100 * low, 100 * high), 100 * raw, float(coefficient_K[1]), len(there), unread)


def win_rates(
    verdicts: Sequence[Sequence[Verdict]], mine: Sequence[Answered], other: Sequence[Answered]
) -> list[WinRate | None]:
    """By turn, of a comparer's verdicts; lengths are counted in characters. None where fewer than two preferences could
    be read."""
    if not len(verdicts) == len(mine) == len(other):
        raise ValueError(f"{len(verdicts)} verdicts of {len(mine)} and {len(other)} answers")
    found: list[WinRate | None] = []
    for turn in range(max(map(len, verdicts), default=0)):
        there = [k for k, one in enumerate(verdicts) if len(one) > turn]
        told = [verdicts[k][turn].score for k in there]
        lengths = [[len(some[k].answers[turn]) for k in there] for some in (mine, other)]
        found.append(win_rate(told, *lengths) if len(told) - told.count(None) > 1 else None)
    return found


def difficulties(preference_MN: Sequence[Sequence[float]], but: int) -> list[float]:
    """How readily each instruction is lost to the baseline: by all models but the one whose win rate is asked for,
    since its own preferences would explain themselves. In log-odds."""
    others_MN = np.delete(np.asarray(preference_MN, dtype=np.float64), but, axis=0)
    if not len(others_MN):
        raise ValueError("difficulty is measured on other models, and there is none")
    wins_N = others_MN.sum(axis=0) + 0.5
    return [float(one) for one in np.log((len(others_MN) + 1 - wins_N) / wins_N)]


# ---- the regression --------------------------------------------------------------------------------------------------


def bounded(longer_N: Floats) -> Floats:
    """tanh of the difference in its standard deviations, which is not centred: no difference stays none."""
    spread = float(longer_N.std(ddof=1))
    return np.tanh(longer_N / spread) if spread > 0 else np.sign(longer_N)


def standardised(values_N: Floats) -> Floats:
    spread = float(values_N.std())
    return (values_N - values_N.mean()) / (spread if spread > 0 else 1.0)


def balanced(columns: int) -> tuple[Floats, Floats, Floats]:
    """Preferences that nobody gave and that favour no side, one in all: at both ends of each column but the first,
    half won and half lost. Without them all wins would be infinitely strong, and surely so. (Ours; AlpacaEval adds
    preferences of baselines that were asked to be long or short.)"""
    ends_EK = np.concatenate([np.eye(columns)[1:], -np.eye(columns)[1:]])
    ends_EK[:, 0] = 1.0
    row_RK = np.concatenate([ends_EK, ends_EK])
    won_R = np.repeat([1.0, 0.0], len(ends_EK))
    return row_RK, won_R, np.full(len(row_RK), 1 / len(row_RK))


def regress(design_NK: Floats, preferred_N: Floats) -> tuple[Floats, Floats]:
    """Logistic regression on shares, by Newton's method, and the covariance of its coefficients. That is the robust
    one (the sandwich): shares and ties scatter less than wins and losses do."""
    row_RK, won_R, weight_R = balanced(design_NK.shape[1])
    design_NK = np.concatenate([design_NK, row_RK])
    preferred_N = np.concatenate([preferred_N, won_R])
    weight_N = np.concatenate([np.ones(len(preferred_N) - len(won_R)), weight_R])

    def loss(coefficient_K: Floats) -> float:
        odds_N = design_NK @ coefficient_K
        return float(weight_N @ (np.logaddexp(0.0, odds_N) - preferred_N * odds_N))

    coefficient_K = np.zeros(design_NK.shape[1])
    for _ in range(ROUNDS):
        expected_N = logistic(design_NK @ coefficient_K)
        slope_K = design_NK.T @ (weight_N * (preferred_N - expected_N))
        curvature_KK = (design_NK.T * (weight_N * expected_N * (1 - expected_N))) @ design_NK
        step_K = np.linalg.solve(curvature_KK, slope_K)
        before, size = loss(coefficient_K), 1.0
        while size > 1e-6 and loss(coefficient_K + size * step_K) > before + CLOSE:
            size /= 2  # far from the end a whole step may lead beyond it
        coefficient_K = coefficient_K + size * step_K
        if float(np.abs(step_K).max()) < CLOSE:
            break
    expected_N = logistic(design_NK @ coefficient_K)
    curvature_KK = (design_NK.T * (weight_N * expected_N * (1 - expected_N))) @ design_NK
    score_NK = design_NK * (np.sqrt(weight_N) * (preferred_N - expected_N))[:, None]
    bread_KK = np.linalg.inv(curvature_KK)
    return coefficient_K, bread_KK @ (score_NK.T @ score_NK) @ bread_KK


def mean_preference(design_NK: Floats, coefficient_K: Floats, covariance_KK: Floats) -> tuple[float, float, float]:
    """The mean over the instructions, and its interval by the delta method on log-odds, so that it stays within
    bounds; by Student's t, since the scatter is an estimate too."""
    from scipy.special import stdtrit

    expected_N = logistic(design_NK @ coefficient_K)
    mean = float(expected_N.mean())
    slope_K = (expected_N * (1 - expected_N)) @ design_NK / len(design_NK) / max(mean * (1 - mean), 1e-12)
    free = max(len(design_NK) - len(coefficient_K), 1)
    error = math.sqrt(max(float(slope_K @ covariance_KK @ slope_K), 0.0) * (1 + len(coefficient_K) / free))
    reach: Any = float(stdtrit(free, 0.5 + CONFIDENCE / 2)) * error
    odds = math.log(mean / (1 - mean))
    return mean, float(logistic(np.array(odds - reach))), float(logistic(np.array(odds + reach)))


def logistic(odds: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -FURTHEST, FURTHEST)))
