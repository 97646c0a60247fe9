"""What must hold of the statistics whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from fewfit.stats import Stream, choose, chosen_estimate, clopper_pearson, difference_of_kinds, resample, tango_interval
from fewfit.stats.criterion import CRITERIA

repeatable = settings(derandomize=True, deadline=None, max_examples=60)


@st.composite
def streams(draw: st.DrawFn, least_lanes: int = 1) -> Stream:
    """Any lanes: binary or graded, with or without likelihoods, several seeds, lanes that left early, n from 1."""
    lanes, n, seeds = draw(st.integers(least_lanes, 6)), draw(st.integers(1, 36)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    level = draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    example_R = np.concatenate([rng.permutation(n) for _ in range(seeds)])
    place_R = np.tile(np.arange(1, n + 1), seeds)
    score_LR = (rng.random((lanes, n * seeds)) < level).astype(float)
    if draw(st.booleans()):
        score_LR *= rng.random(score_LR.shape).round(1)
    nll_LR = rng.exponential(size=score_LR.shape).clip(max=5) if draw(st.booleans()) else None
    can_win_L = np.ones(lanes, dtype=bool)
    for lane in range(1, lanes):
        if rng.random() < 0.3:
            can_win_L[lane] = False
            score_LR[lane, place_R > rng.integers(0, n + 1)] = np.nan
    return Stream(score_LR, nll_LR, example_R, place_R, can_win_L)


@repeatable
@given(streams(), st.sampled_from(CRITERIA), st.booleans())
def test_the_corrected_score_never_exceeds_the_plain_one(stream: Stream, criterion: str, late: bool) -> None:
    """And the interval holds the plain mean, within [0, 1], with no NaN.

    Break seen to fail: no `min(plain, ...)`; the square root of rounding noise where all rows are equal."""
    window_R = stream.last_half if late else stream.whole
    lane = choose(stream, criterion)
    assert stream.can_win_L[lane]
    found = chosen_estimate(stream, window_R, lane, resample(stream, criterion))
    assert found.plain == pytest.approx(stream.score_LR[lane][window_R].mean())
    assert found.point <= found.plain + 1e-12
    assert 0 <= found.low <= found.plain + 1e-12 and found.plain - 1e-12 <= found.high <= 1
    assert found.quantile >= 1.96
    assert np.isfinite([found.point, found.effective]).all()


@repeatable
@given(streams(least_lanes=2), st.sampled_from(CRITERIA), st.booleans(), st.data())
def test_swapping_kinds_flips_the_sign_of_a_difference_and_nothing_else(
    stream: Stream, criterion: str, late: bool, data: st.DataObject
) -> None:
    """Break seen to fail: 0.95 for 0.975 in one of the two quantiles; Tango's `linear` with one sign changed."""
    split = data.draw(st.integers(1, stream.lanes - 1))
    this_L = np.arange(stream.lanes) < split
    if not stream.can_win_L[~this_L].any():
        stream = Stream.of(
            np.nan_to_num(stream.score_LR), stream.nll_LR, example_R=stream.example_R, place_R=stream.place_R
        )
    window_R = stream.last_half if late else stream.whole
    resamples = resample(stream, criterion)
    pair = choose(stream, criterion, this_L), choose(stream, criterion, ~this_L)
    one = difference_of_kinds(stream, window_R, this_L, ~this_L, pair, resamples)
    two = difference_of_kinds(stream, window_R, ~this_L, this_L, pair[::-1], resamples)
    assert (two.point, two.plain) == pytest.approx((-one.point, -one.plain), abs=1e-9)
    assert (two.low, two.high) == pytest.approx((-one.high, -one.low), abs=1e-6)
    assert -1 <= one.low <= one.plain + 1e-9 and one.plain - 1e-9 <= one.high <= 1
    assert two.examples == one.examples


@repeatable
@given(st.integers(4, 56), st.integers(0, 12), st.integers(0, 12))
def test_intervals_shrink_like_one_over_the_root_of_n(hits: int, gains: int, losses: int) -> None:
    """Sixteen times the data, a quarter of the width (exact intervals a little less, being wide when n is small).

    Break seen to fail: `n` instead of sqrt(n) in Tango's denominator; `effective` fixed at 60."""

    def ratio(small: tuple[float, float], large: tuple[float, float]) -> float:
        return (large[1] - large[0]) / (small[1] - small[0])

    assert 0.18 < ratio(clopper_pearson(hits, 60), clopper_pearson(16 * hits, 960)) < 0.27
    if gains + losses >= 4:
        assert 0.18 < ratio(tango_interval(gains, losses, 60), tango_interval(16 * gains, 16 * losses, 960)) < 0.27


def equal_lanes(rng: np.random.Generator, lanes: int, n: int, level: float) -> Stream:
    """Answers that lanes share in part, at one level for all."""
    margin_LE = np.sqrt(0.5) * (rng.normal(size=n) + rng.normal(size=(lanes, n))) + ndtri(level)
    nll_LE = np.logaddexp(0, -2 * margin_LE - rng.normal(size=margin_LE.shape))
    return Stream.of((margin_LE > 0).astype(float), nll_LE.clip(max=5))


@pytest.mark.parametrize("n", [30, 60])
def test_lanes_without_information_are_at_chance_once_corrected(n: int) -> None:
    """Sixteen lanes guess between two answers. The best looks good; its corrected score does not, and its interval
    holds one half.

    Break seen to fail: the plain mean for the point; 1.96 for the quantile over lanes."""
    rng = np.random.default_rng(5)
    plain, point, held = [], [], 0
    for _ in range(200):
        stream = equal_lanes(rng, 16, n, 0.5)
        lane = choose(stream, "z23")
        found = chosen_estimate(stream, stream.whole, lane, resample(stream, "z23"))
        plain.append(found.plain)
        point.append(found.point)
        held += found.low <= 0.5 <= found.high
    assert np.mean(plain) > 0.56
    assert np.mean(point) == pytest.approx(0.5, abs=0.03)
    assert held >= 186  # .93 of 200


def test_no_kind_is_better_where_none_is() -> None:
    """Sixteen lanes guess; the best of eight stands against a single one. One is called better in few of 200 runs.

    Break seen to fail: 1.96 for both quantiles over lanes (45 of 200)."""
    rng = np.random.default_rng(6)
    called = 0
    for _ in range(200):
        stream = equal_lanes(rng, 16, 60, 0.5)
        this_L = np.arange(16) < 8
        other_L = np.arange(16) == 8
        pair = choose(stream, "accuracy", this_L), 8
        found = difference_of_kinds(stream, stream.whole, this_L, other_L, pair, resample(stream, "accuracy"))
        called += found.low > 0 or found.high < 0
    assert called <= 14


def test_the_same_numbers_every_time() -> None:
    """Break seen to fail: `default_rng()` without a seed, and no cache."""
    from fewfit.stats import criterion, intervals

    found = []
    for _ in range(2):
        criterion.bootstrap_weights.cache_clear()
        intervals.gaussians.cache_clear()
        stream = equal_lanes(np.random.default_rng(1), 8, 40, 0.7)
        lane = choose(stream, "z23")
        found.append(chosen_estimate(stream, stream.whole, lane, resample(stream, "z23")))
    assert found[0] == found[1]
