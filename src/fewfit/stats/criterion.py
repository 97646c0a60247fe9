"""Which lane is chosen: in the sample, and again in every resample of it.

`z23`, the default, adds up over the last two thirds of the stream the score and the probability of the right answer of
every row, each in units of its own spread between lanes: the probability says more than hit or miss, and the first
third says little about a lane that learns. A probability and not its logarithm: tuned lanes are surer of themselves
than they should be, and one confident mistake must not outweigh many answers that are right.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from fewfit.stats.stream import Bools, Floats, Ints, Stream, by_example

Criterion = Literal["z23", "accuracy", "nll"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

NATS_AT_MOST = 5.0  # under `nll`; an answer token that a lane thinks impossible would otherwise decide alone
LEAST_SPREAD = 0.05  # where lanes hardly differ, their spread is no unit to measure by
RESAMPLES = 250
NEAR = 0.5  # standard errors
BREAKS_TIES = 1e-6  # weight of the likelihood under `accuracy`: all of it together weighs less than one answer


def likelihood_per_token(nll_LR: Floats, tokens_LR: Floats) -> Floats:
    """Nats per answer token, clipped. Templates differ between lanes, so a row's tokens are their mean over lanes."""
    there_LR = ~np.isnan(tokens_LR)
    count_R = np.maximum(there_LR.sum(axis=0), 1)
    tokens_R = np.maximum(np.where(there_LR, tokens_LR, 0.0).sum(axis=0) / count_R, 1.0)
    return np.clip(nll_LR / tokens_R, None, NATS_AT_MOST)


def criterion_start(places: int, criterion: Criterion) -> int:
    """The place after which the criterion begins to read."""
    return places // 3 if criterion == "z23" else 0


def right_probability(nll_LR: Floats) -> Floats:
    """Of an answer's token, as their geometric mean."""
    return np.exp(-nll_LR)


def in_spreads(values_LR: Floats) -> Floats:
    """In standard deviations of what is left when the mean over lanes is taken off every row."""
    return values_LR / max(float((values_LR - values_LR.mean(axis=0)).std()), LEAST_SPREAD)


def item_scores(score_LR: Floats, nll_LR: Floats | None, criterion: Criterion) -> Floats:
    """What each row adds to the criterion, lane by lane; the rows given are its window, the lanes can win."""
    if criterion != "z23":
        if nll_LR is None:
            return score_LR
        return -nll_LR if criterion == "nll" else score_LR - BREAKS_TIES * nll_LR
    return in_spreads(score_LR) + (0.0 if nll_LR is None else in_spreads(right_probability(nll_LR)))


@dataclass(frozen=True)
class Cheapest:
    """Recommends the cheapest lane that is not behind the best one by more than chance may well have made of it.

    `tier_L` ranks lanes by what a query costs; among equals the criterion decides. `error_LL` is the standard error of
    the difference of two lanes' totals.
    """

    tier_L: Ints
    error_LL: Floats
    near: float = NEAR

    def among(self, total_BL: Floats) -> Ints:
        best_B = first_of_the_best(total_BL)
        behind_BL = np.take_along_axis(total_BL, best_B[:, None], axis=1) - total_BL
        near_BL = behind_BL <= self.near * self.error_LL[best_B]
        near_BL[np.arange(len(best_B)), best_B] = True
        tier_BL = np.where(near_BL, self.tier_L, np.iinfo(np.int64).max)
        return first_of_the_best(np.where(tier_BL == tier_BL.min(axis=1, keepdims=True), total_BL, -np.inf))


@dataclass(frozen=True)
class Resamples:
    """Bootstraps over examples (an example's rows stay together), with the criterion of every lane in each."""

    weight_BE: Floats
    total_BL: Floats  # -inf for lanes that cannot win
    rule: Cheapest | None = None
    among_L: Bools | None = None  # lanes that may be recommended

    def chosen(self, among_L: Bools) -> Ints:
        return first_of_the_best(np.where(among_L, self.total_BL, -np.inf))

    def recommended(self) -> Ints:
        total_BL = self.total_BL if self.among_L is None else np.where(self.among_L, self.total_BL, -np.inf)
        return first_of_the_best(total_BL) if self.rule is None else self.rule.among(total_BL)


def resample(stream: Stream, criterion: Criterion, rule: Cheapest | None = None) -> Resamples:
    weight_BE = bootstrap_weights(stream.examples)
    return Resamples(weight_BE, totals(stream, criterion, weight_BE), rule)


def cheapest(stream: Stream, criterion: Criterion, tier_L: Ints) -> Cheapest:
    """The rule, with the errors that this stream shows."""
    rows = np.flatnonzero(stream.after(criterion_start(stream.places, criterion)))
    error_LL = np.zeros((stream.lanes, stream.lanes))
    able = np.flatnonzero(stream.can_win_L)
    nll_LR = None if stream.nll_LR is None else stream.nll_LR[able][:, rows]
    item_LR = item_scores(stream.score_LR[able][:, rows], nll_LR, criterion)
    sum_LE, count_LE = by_example(item_LR, stream.example_R[rows], stream.examples)
    for k, lane in enumerate(able):
        gap_LE = sum_LE - sum_LE[k]
        mean_L1 = gap_LE.sum(axis=1, keepdims=True) / count_LE.sum(axis=1, keepdims=True)
        error_LL[lane, able] = np.sqrt(np.square(gap_LE - mean_L1 * count_LE).sum(axis=1))
    return Cheapest(np.asarray(tier_L), error_LL)


def recommend(stream: Stream, criterion: Criterion, rule: Cheapest, among_L: Bools | None = None) -> int:
    total_BL = totals(stream, criterion, np.ones((1, stream.examples)))
    return int(rule.among(total_BL if among_L is None else np.where(among_L, total_BL, -np.inf))[0])


def choose(stream: Stream, criterion: Criterion, among_L: Bools | None = None) -> int:
    """The lane of the highest total; among equals the first."""
    total_BL = totals(stream, criterion, np.ones((1, stream.examples)))
    if among_L is not None:
        total_BL = np.where(among_L, total_BL, -np.inf)
    return int(first_of_the_best(total_BL)[0])


def totals(stream: Stream, criterion: Criterion, weight_BE: Floats) -> Floats:
    """The criterion of every lane in every resample, the spreads taken anew in each.

    Spreads are those among the lanes that can win. A row's mean over lanes is the same in all resamples, and what is
    left of a row sums to zero, so both spreads are weighted sums of one number per example.
    """
    rows = np.flatnonzero(stream.after(criterion_start(stream.places, criterion)))
    example_R = stream.example_R[rows]
    count_E = np.bincount(example_R, minlength=stream.examples)
    cells_B = np.maximum(weight_BE @ count_E, 1.0) * stream.can_win_L.sum()

    def sums(values_LR: Floats) -> tuple[Floats, Floats]:
        """Weighted totals, and the spread between lanes: total_BL, sd_B."""
        sum_LE, _ = by_example(values_LR, example_R, stream.examples)
        square_R = np.square(values_LR - values_LR.mean(axis=0)).sum(axis=0)
        square_E = np.bincount(example_R, square_R, stream.examples)
        return weight_BE @ sum_LE.T, np.maximum(np.sqrt(weight_BE @ square_E / cells_B), LEAST_SPREAD)

    score_BL, spread_B = sums(stream.score_LR[stream.can_win_L][:, rows])
    if stream.nll_LR is None:
        total_BL = score_BL
    else:
        nll_LR = stream.nll_LR[stream.can_win_L][:, rows]
        if criterion == "z23":
            right_BL, right_spread_B = sums(right_probability(nll_LR))
            total_BL = score_BL / spread_B[:, None] + right_BL / right_spread_B[:, None]
        else:
            nll_BL, _ = sums(nll_LR)
            total_BL = -nll_BL if criterion == "nll" else score_BL - BREAKS_TIES * nll_BL
    out_BL = np.full((weight_BE.shape[0], stream.lanes), -np.inf)
    out_BL[:, stream.can_win_L] = total_BL
    return out_BL


def first_of_the_best(total_BL: Floats) -> Ints:
    """Equal lanes may differ by rounding, which must not decide between them."""
    best_B1 = total_BL.max(axis=1, keepdims=True)
    slack_B1 = 1e-11 * (1.0 + np.abs(np.where(np.isfinite(best_B1), best_B1, 0.0)))
    return np.argmax(total_BL >= best_B1 - slack_B1, axis=1)


def generator(purpose: str) -> np.random.Generator:
    """Figures repeat: every draw comes from a hash of its purpose, never from the clock."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"fewfit {purpose}".encode()).digest()[:8], "big"))


@lru_cache(maxsize=8)
def bootstrap_weights(examples: int) -> Floats:
    """How often each example stands in each resample; resamples that leave nobody out are dropped."""
    weight_BE = generator(f"bootstrap {examples}").multinomial(examples, np.full(examples, 1 / examples), RESAMPLES)
    weight_BE = weight_BE[(weight_BE == 0).any(axis=1)].astype(np.float64)
    weight_BE.setflags(write=False)
    return weight_BE
