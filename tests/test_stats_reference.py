"""The statistics again, row by row in plain loops, and hand-worked cases. The oracle shares only the random draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats

from fewfit.stats import (
    Stream,
    choose,
    chosen_estimate,
    clopper_pearson,
    difference_of_kinds,
    is_rising,
    item_scores,
    likelihood_per_token,
    resample,
    tango_interval,
)
from fewfit.stats.chosen import effective_rows, rivals_gone
from fewfit.stats.criterion import bootstrap_weights
from fewfit.stats.intervals import gaussians, tango_statistic


def made_up(lanes: int, n: int, seeds: int, *, dropped: bool, seed: int = 0) -> Stream:
    """Correlated lanes that learn a little; with `dropped`, two that left early."""
    rng = np.random.default_rng(seed)
    columns = []
    for _ in range(seeds):
        for place, example in enumerate(rng.permutation(n), start=1):
            columns.append((int(example), place))
    example_R = np.array([example for example, _ in columns])
    place_R = np.array([place for _, place in columns])
    easy_E = rng.normal(size=n)
    margin_LR = 0.6 * easy_E[example_R] + 0.8 * rng.normal(size=(lanes, len(columns))) + 0.4
    margin_LR += np.linspace(0, 1, lanes)[:, None] * place_R / n
    score_LR = (margin_LR > 0).astype(float)
    nll_LR = np.log1p(np.exp(-2 * margin_LR - rng.normal(size=margin_LR.shape)))
    can_win_L = np.ones(lanes, dtype=bool)
    if dropped:
        for lane, last in ((1, n // 3), (lanes - 1, 3 * n // 4)):
            score_LR[lane, place_R > last] = np.nan
            can_win_L[lane] = False
    return Stream(score_LR, np.minimum(nll_LR, 5.0), example_R, place_R, can_win_L)


def weighted_z(stream: Stream, weight_E: np.ndarray) -> list[float]:
    """Z23 of every lane, an example counted `weight_E` times."""
    n = stream.places
    start = n // 3
    able = [lane for lane in range(stream.lanes) if stream.can_win_L[lane]]
    rows = [r for r in range(len(stream.place_R)) if stream.place_R[r] > start]
    spread = []
    for values_LR in (stream.score_LR, np.exp(-stream.nll_LR)):
        residuals, weights = [], []
        for r in rows:
            mean = sum(values_LR[lane, r] for lane in able) / len(able)
            for lane in able:
                residuals.append(values_LR[lane, r] - mean)
                weights.append(weight_E[stream.example_R[r]])
        centre = np.average(residuals, weights=weights)
        spread.append(max(0.05, math.sqrt(np.average((np.array(residuals) - centre) ** 2, weights=weights))))
    z = []
    for lane in range(stream.lanes):
        if lane not in able:
            z.append(-math.inf)
            continue
        z.append(
            sum(
                weight_E[stream.example_R[r]]
                * (stream.score_LR[lane, r] / spread[0] + math.exp(-stream.nll_LR[lane, r]) / spread[1])
                for r in rows
            )
        )
    return z


def slow_estimate(stream: Stream, window_R: np.ndarray, lane: int) -> dict[str, float]:
    rows = [r for r in range(len(window_R)) if window_R[r]]
    n_rows, seeds = len(rows), stream.seeds
    h = n_rows / seeds
    mean, u_squared, t_GL, spread = {}, {}, [], {}
    for each in range(stream.lanes):
        there = [r for r in rows if not math.isnan(stream.score_LR[each, r])]
        if len(there) < 5 and len(there) < n_rows:
            continue
        mean[each] = sum(stream.score_LR[each, r] for r in there) / len(there)
        u = np.zeros(stream.examples)
        for r in there:
            u[stream.example_R[r]] += stream.score_LR[each, r] - mean[each]
        u_squared[each] = sum(u**2)
        spread[each] = len(there) * mean[each] * (1 - mean[each])
        scale = math.sqrt(u_squared[each])
        t_GL.append([float(u @ g) / scale if scale else 0.0 for g in gaussians(stream.examples)])
    q = max(1.96, float(np.quantile(np.array(t_GL).max(axis=0), 0.95)))
    m = mean[lane]
    own = h if u_squared[lane] == 0 else min(max(m * (1 - m) * n_rows**2 / u_squared[lane], h), n_rows)
    pooled = n_rows / min(max(sum(u_squared.values()) / sum(spread.values()), 1), seeds)
    n_e = min(own, pooled)
    low = 0.0 if m == 0 else scipy_stats.beta.ppf(scipy_stats.norm.cdf(-q), n_e * m, n_e - n_e * m + 1)
    high = 1.0 if m == 1 else scipy_stats.beta.ppf(0.975, n_e * m + 1, n_e - n_e * m)

    outs, gains = [], []
    for weight_E in bootstrap_weights(stream.examples):
        again = int(np.argmax(weighted_z(stream, weight_E)))
        left_out = [stream.score_LR[again, r] for r in rows if weight_E[stream.example_R[r]] == 0]
        weights = [weight_E[stream.example_R[r]] for r in rows]
        if not left_out or sum(weights) == 0:
            continue
        scores = [stream.score_LR[again, r] for r in rows]
        outs.append(np.mean(left_out))
        gains.append(np.average(scores, weights=weights) - np.mean(scores))
    point = min(m, (np.mean(outs) + m - np.mean(gains)) / 2)
    left = [t for t, each in zip(t_GL, mean, strict=True) if stream.can_win_L[each]]
    rivals = np.array(t_GL).max(axis=0).mean() / np.array(left).max(axis=0).mean()
    assert (rivals > 1) == (not stream.can_win_L.all())
    point = max(low, m - rivals * (m - point))
    return {"point": point, "low": low, "high": high, "plain": m, "quantile": q, "effective": n_e}


@pytest.mark.parametrize(("n", "seeds", "dropped"), [(12, 1, False), (33, 1, True), (31, 3, True)])
@pytest.mark.parametrize("window", ["whole", "last_half"])
def test_the_corrected_score_equals_plain_loops(n: int, seeds: int, dropped: bool, window: str) -> None:
    """Break seen to fail: `(gain[0] + plain - gain[1]) / 2` with `+ gain[1]`; spreads not taken anew per resample."""
    stream = made_up(5, n, seeds, dropped=dropped)
    lane = choose(stream, "z23")
    assert lane == int(np.argmax(weighted_z(stream, np.ones(n))))
    fast = chosen_estimate(stream, getattr(stream, window), lane, resample(stream, "z23"))
    for name, value in slow_estimate(stream, getattr(stream, window), lane).items():
        assert getattr(fast, name) == pytest.approx(value, abs=1e-9), name


def slow_difference(stream: Stream, window_R: np.ndarray, this: list[int], other: list[int]) -> dict[str, float]:
    score: dict[tuple[int, int], list[float]] = {}
    examples = set()
    for r in np.flatnonzero(window_R):
        examples.add(int(stream.example_R[r]))
        for lane in range(stream.lanes):
            if not math.isnan(stream.score_LR[lane, r]):
                score.setdefault((lane, int(stream.example_R[r])), []).append(stream.score_LR[lane, r])
    c = {key: float(np.mean(values)) for key, values in score.items()}
    window = sorted(examples)
    n = len(window)
    z = weighted_z(stream, np.ones(stream.examples))
    b_star, a_star = max(this, key=lambda lane: z[lane]), max(other, key=lambda lane: z[lane])
    draws = gaussians(stream.examples)

    def quantile(lanes: list[int], against: int) -> float:
        columns = []
        for lane in lanes:
            common = [e for e in window if (lane, e) in c]
            if len(common) < 5 and len(common) < n:
                continue
            d = np.array([c[lane, e] - c[against, e] for e in common])
            k = len(d)
            mu = d.sum() / (k + 2)
            se = math.sqrt(((d**2).sum() + 2) / (k + 2) - mu**2) / math.sqrt(k + 2)
            columns.append([sum((d - d.mean()) * g[common]) / k / se for g in draws])
        return max(1.96, float(np.quantile(np.array(columns).max(axis=0), 0.975)))

    d = np.array([c[b_star, e] - c[a_star, e] for e in window])
    q_low, q_up = quantile(this, a_star), quantile(other, b_star)
    p, r = d[d > 0].sum(), -d[d < 0].sum()
    low = optimize.brentq(lambda x: tango_statistic(x, p, r, n) - q_low, -1 + 1e-9, d.mean())
    high = optimize.brentq(lambda x: tango_statistic(x, p, r, n) + q_up, d.mean(), 1 - 1e-9)
    outs, gains = [], []
    for weight_E in bootstrap_weights(stream.examples):
        z = weighted_z(stream, weight_E)
        b, a = max(this, key=lambda lane: z[lane]), max(other, key=lambda lane: z[lane])
        d_again = np.array([c[b, e] - c[a, e] for e in window])
        weights = weight_E[window]
        if weights.sum() == 0 or (weights > 0).all():
            continue
        outs.append(d_again[weights == 0].mean())
        gains.append(np.average(d_again, weights=weights) - d_again.mean())
    point = (np.mean(outs) + d.mean() - np.mean(gains)) / 2
    return {"point": point, "low": low, "high": high, "plain": d.mean(), "examples": n}


@pytest.mark.parametrize(("n", "seeds", "dropped"), [(12, 1, False), (33, 1, True), (31, 3, True)])
def test_the_difference_of_kinds_equals_plain_loops(n: int, seeds: int, dropped: bool) -> None:
    """Break seen to fail: the two quantiles exchanged; deviations centred on zero instead of on the lane's mean."""
    stream = made_up(6, n, seeds, dropped=dropped, seed=3)
    this, other = [3, 4, 5], [0, 1, 2]
    member_L = np.isin(np.arange(6), this)
    pair = choose(stream, "z23", member_L), choose(stream, "z23", ~member_L)
    fast = difference_of_kinds(stream, stream.last_half, member_L, ~member_L, pair, resample(stream, "z23"))
    for name, value in slow_difference(stream, stream.last_half, this, other).items():
        assert getattr(fast, name) == pytest.approx(value, abs=1e-7), name


def by_likelihood(delta: float, gains: int, losses: int, n: int) -> float:
    """Tango's statistic from first principles: the share of losses that makes the table likeliest, given `delta`."""

    def against(q: float) -> float:
        kept = 1 - 2 * q - delta
        terms = [(gains, q + delta), (losses, q), (n - gains - losses, kept)]
        return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

    left, right = max(0.0, -delta), (1 - delta) / 2
    q = optimize.minimize_scalar(against, bounds=(left, right), method="bounded", options={"xatol": 1e-12}).x
    return (gains - losses - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(("gains", "losses", "n"), [(12, 3, 40), (1, 7, 20), (0, 4, 15), (5, 0, 9), (9, 9, 60)])
def test_tango_interval_equals_a_search_over_likelihoods(gains: int, losses: int, n: int) -> None:
    """Break seen to fail: `4 * n * constant` for `8 * n * constant`; the two ends' quantiles with equal signs."""
    grid = np.linspace(-0.9995, 0.9995, 4001)
    kept = [d for d in grid if -2.4 <= by_likelihood(float(d), gains, losses, n) <= 2.1]
    low, high = tango_interval(gains, losses, n, low_quantile=2.1, high_quantile=2.4)
    assert (low, high) == (pytest.approx(min(kept), abs=1e-3), pytest.approx(max(kept), abs=1e-3))


def test_tango_interval_without_a_difference_is_known_in_closed_form() -> None:
    """No discordant pair: T(d) = -sqrt(n d / (1 - d)), hence d = q^2 / (n + q^2).

    Break seen to fail: the upper bound of the search at 0.1."""
    low, high = tango_interval(0, 0, 10)
    assert high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-9)
    assert low == pytest.approx(-high, abs=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (7, 7), (3, 7), (41, 60), (199, 200)])
def test_clopper_pearson_equals_scipy(hits: int, n: int) -> None:
    """Break seen to fail: `n - hits` for `n - hits + 1` at the lower end."""
    exact = scipy_stats.binomtest(hits, n).proportion_ci(method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((exact.low, exact.high), abs=2e-5)


def test_z_by_hand() -> None:
    """Two lanes, four rows. Scores differ from their row's mean by ±1/2 in rows 1 and 2: sd = sqrt(4 * .25 / 8).
    Probabilities of the right answer by ±.25 in row 3 alone: sd = sqrt(2 * .0625 / 8).

    Break seen to fail: spreads not centred row by row; `ddof=1`."""
    score_LR = np.array([[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    right_LR = np.array([[0.5, 0.5, 0.25, 0.5], [0.5, 0.5, 0.75, 0.5]])
    z_L = item_scores(score_LR, -np.log(right_LR), "z23").sum(axis=1)
    a_hit, a_right = 1 / math.sqrt(4 * 0.25 / 8), 1 / math.sqrt(2 * 0.0625 / 8)
    assert z_L == pytest.approx([3 * a_hit + 1.75 * a_right, 1 * a_hit + 2.25 * a_right])
    stream = Stream(score_LR, -np.log(right_LR), np.arange(4), np.array([3, 4, 5, 6]), np.ones(2, dtype=bool))
    assert choose(stream, "z23") == 0  # two hits more at 2.83, half a probability less at 8
    assert choose(stream, "nll") == 1
    assert choose(stream, "accuracy") == 0


def test_a_spread_is_never_below_a_twentieth() -> None:
    """Break seen to fail: without the floor a thousandth of a probability outweighs everything."""
    right_LR = np.array([[0.501, 0.5, 0.5], [0.5, 0.5, 0.5]])
    z_LR = item_scores(np.zeros((2, 3)), -np.log(right_LR), "z23")
    assert z_LR[0] == pytest.approx([10.02, 10.0, 10.0])


def test_a_confident_mistake_does_not_outweigh_answers_that_are_right() -> None:
    """A tuned lane that is right more often and sure of its mistakes, against one that is never sure.

    Break seen to fail: nats for probabilities."""
    sure = [0.99 if k % 5 < 3 else 0.001 for k in range(60)]
    unsure = [0.51 if k % 2 else 0.49 for k in range(60)]
    right_LR = np.array([unsure, sure])
    stream = Stream.of((right_LR > 0.5).astype(float), -np.log(right_LR))
    assert choose(stream, "nll") == 0
    assert choose(stream, "z23") == 1


def test_z23_reads_the_last_two_thirds() -> None:
    """Break seen to fail: everything; `places // 2`."""
    for n in (15, 30):
        score_LR = np.zeros((2, n))
        score_LR[0, : n // 3] = 1.0  # good early
        score_LR[1, n // 3 : n // 3 + 2] = 1.0  # later a little better
        assert choose(Stream.of(score_LR), "z23") == 1


def test_a_tie_goes_to_the_first_and_the_likelihood_breaks_it_under_accuracy() -> None:
    """Break seen to fail: `>` for `>=` in `first_of_the_best`; BREAKS_TIES = 0."""
    score_LR = np.array([[1.0, 0.0, 0.1, 0.2, 0.3], [0.3, 0.2, 0.1, 0.0, 1.0], [1.0, 0.0, 0.1, 0.2, 0.3]])
    assert choose(Stream.of(score_LR), "accuracy") == 0
    assert choose(Stream.of(score_LR), "z23", np.array([False, True, True])) == 1
    nll_LR = np.array([[1.0] * 5, [1.0] * 5, [0.9] * 5])
    assert choose(Stream.of(score_LR, nll_LR), "accuracy") == 2


def test_likelihood_is_per_token_of_the_mean_lane_and_clipped() -> None:
    """Break seen to fail: each lane divided by its own tokens; no clipping."""
    nll_LR = np.array([[6.0, 90.0], [3.0, np.inf]])
    tokens_LR = np.array([[2.0, 4.0], [4.0, np.nan]])
    assert likelihood_per_token(nll_LR, tokens_LR) == pytest.approx(np.array([[2.0, 5.0], [1.0, 5.0]]))


def test_lanes_that_are_gone_were_rivals() -> None:
    """Two draws, three lanes. The best of all strays by (3 + 1) / 2, the best of the two left by (1 + 1) / 2.

    Break seen to fail: those gone counted as if they were left; no guard for near-copies; no bound."""
    deviation_GK = np.array([[1.0, 0.5, 3.0], [-1.0, 1.0, 0.0]])
    assert rivals_gone(deviation_GK, np.array([True, True, False])) == 2.0
    assert rivals_gone(deviation_GK, np.array([True, True, True])) == 1.0
    assert rivals_gone(deviation_GK, np.array([True, False, False])) == 1.0
    assert rivals_gone(np.array([[0.5, 9.0]]), np.array([True, False])) == 3.0


def test_several_seeds_of_the_same_rows_are_worth_one() -> None:
    """Three copies count once, three independent answers thrice, and certainty never more than one seed.

    Break seen to fail: `max` for `min` of the two numbers; no clipping at one seed's rows."""
    p = 30 * 0.25  # one seed of 10, m = 1/2: N m (1 - m)
    assert effective_rows(rows=30, seeds=3, own=(p, 3 * p), pooled=(p, 3 * p)) == pytest.approx(10)
    assert effective_rows(rows=30, seeds=3, own=(p, p), pooled=(p, p)) == pytest.approx(30)
    assert effective_rows(rows=30, seeds=3, own=(p, p / 2), pooled=(p, 1.5 * p)) == pytest.approx(20)
    assert effective_rows(rows=30, seeds=3, own=(p, 9 * p), pooled=(p, 3 * p)) == pytest.approx(10)
    assert effective_rows(rows=30, seeds=3, own=(0.0, 0.0), pooled=(0.0, 0.0)) == pytest.approx(10)


def test_rising_by_hand() -> None:
    """Thirds of four: middle 1/4, last 3/4, standard error sqrt(2 * .1875 / 4) = .31. And not at .25 against .5.

    Break seen to fail: two standard errors; the first third for the middle one."""

    def rising(*score: float) -> bool:
        n = len(score)
        return is_rising(np.array(score, dtype=float), np.arange(1, n + 1), np.arange(n))

    assert rising(1, 1, 1, 1, 0, 0, 0, 1, 0, 1, 1, 1)
    assert not rising(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1)
    assert not rising(0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1)
    assert not rising(0, 0, 1, 1, 1, 1)  # thirds of two rows show nothing
    assert not rising(*[0.7] * 12)
