"""What the statistics can do, by simulation: does the interval hold, how wide is it, how far off is the point?

    python -m benchmarks.statistics [--quick] [--repetitions 1000] [--json results/statistics.json]

Nothing here knows a language model. Sixteen lanes answer by a probit: a lane is right where its level plus a latent
number is above zero; the latent is a difficulty that all lanes share and a part of the lane's own, in which neighbours
resemble each other; the likelihood is a soft plus of a margin correlated with it. The correlation of lanes goes round
.3, .6 and .9 from one repetition to the next. The code measured is the code that `fit` runs.

Truth is known: the chosen lane's mean level over the stream (for `prequential`), its level after the last example (for
`score`), and the same of two chosen lanes' differences. The chosen lane is the recommended one: the
cheapest that is not far behind. Ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from benchmarks.records import write
from fewfit.select.choice import SHORT_STREAM
from fewfit.stats import (
    CRITERIA,
    Stream,
    at_delivery,
    cheapest,
    choose,
    chosen_estimate,
    clopper_pearson,
    difference_of_kinds,
    is_rising,
    item_scores,
    recommend,
    resample,
    tango_interval,
)
from fewfit.stats.criterion import NEAR

LANES = 16
TUNING_L = np.arange(LANES) >= LANES // 2  # the first half prompts, the second tunes
CORRELATIONS = (0.3, 0.6, 0.9)
TIER_L = np.repeat([0, 2, 1, 3], LANES // 4)  # what a query costs: zero-shot, icl, ft, icl+ft
SHOTS = 8  # of the prompting lanes that have any
NEARS = (0.0, 0.25, 0.5, 1.0, 1.96)  # standard errors that the cheapest lane may be behind
SPREAD_L = np.linspace(-1, 1, LANES // 2)  # lanes of one kind differ: from its worst setting to its best
Curves = Callable[[np.ndarray], np.ndarray]  # share of the stream seen, from 0 to 1 -> level_LP


def both(prompting: Curves, tuning: Curves) -> Curves:
    return lambda t_P: np.concatenate([prompting(t_P), tuning(t_P)])


def flat(level: float, spread: float = 0.0) -> Curves:
    return lambda t_P: np.clip(level + spread * SPREAD_L[:, None] + 0 * t_P, 0.02, 0.98)


def saturating(start: float, end: float, spread: float = 0.0) -> Curves:
    """Most is learnt early; better settings learn more."""
    return lambda t_P: start + (end - start + spread * SPREAD_L[:, None]) * (1 - np.exp(-3 * t_P))


def slow(start: float, end: float, spread: float = 0.0) -> Curves:
    """Still rising at the same pace when the stream ends."""
    return lambda t_P: start + (end - start + spread * SPREAD_L[:, None]) * t_P


def late(start: float, end: float, spread: float = 0.0) -> Curves:
    """Nothing, and then all at once, at half of the stream."""
    return lambda t_P: start + (end - start + spread * SPREAD_L[:, None]) / (1 + np.exp(-20 * (t_P - 0.5)))


@dataclass(frozen=True)
class Cell:
    name: str
    curves: Curves
    seeds: int = 1
    race: bool = False
    neighbours: float = 0.5  # correlation of neighbouring lanes, over and above the common difficulty


CELLS = (
    Cell("equal, .7", both(flat(0.7), flat(0.7))),
    Cell("equal, .95", both(flat(0.95), flat(0.95))),
    Cell("equal, .7, three seeds", both(flat(0.7), flat(0.7)), seeds=3),
    Cell("equal, .7, five seeds", both(flat(0.7), flat(0.7)), seeds=5),
    Cell("equal, .7, lanes dropped", both(flat(0.7), flat(0.7)), race=True),
    Cell("flat, 12 points apart", both(flat(0.7), flat(0.82))),
    Cell("flat, 12 points apart, neighbours .8", both(flat(0.7), flat(0.82)), neighbours=0.8),
    Cell("half 15 points worse, lanes dropped", both(flat(0.55), flat(0.7)), race=True),
    Cell("saturating, lanes dropped", both(flat(0.65, 0.05), saturating(0.45, 0.8, 0.1)), race=True),
    Cell("crossing kinds", both(flat(0.65, 0.05), saturating(0.45, 0.8, 0.1))),
    Cell("late jumps", both(flat(0.65, 0.05), late(0.45, 0.8, 0.1))),
    Cell("rising slowly", both(flat(0.65, 0.05), slow(0.6, 0.75, 0.05))),
    Cell("rising slowly, three seeds", both(flat(0.65, 0.05), slow(0.6, 0.75, 0.05)), seeds=3),
    Cell("rising steeply to the end", both(flat(0.65, 0.05), slow(0.5, 0.8, 0.1))),
)
SIZES = (20, 30, 60, 100, 200)


def simulate(cell: Cell, n: int, rho: float, rng: np.random.Generator) -> tuple[Stream, np.ndarray]:
    """A run of the cell, and every lane's level at every place and after the last: level_LP."""
    level_LP = cell.curves(np.arange(1, n + 2) / n)
    threshold_LP = ndtri(level_LP)
    difficulty_E = rng.normal(size=n)
    lane_LE = between_lanes(n, cell.neighbours, rng)
    scores, nlls, examples = [], [], []
    for _ in range(cell.seeds):
        order = rng.permutation(n)
        own_LE = lane_LE if cell.seeds == 1 else np.sqrt(0.5) * (lane_LE + between_lanes(n, cell.neighbours, rng))
        latent_LP = (np.sqrt(rho) * difficulty_E + np.sqrt(1 - rho) * own_LE)[:, order]
        margin_LP = threshold_LP[:, :n] + 0.8 * latent_LP + 0.6 * rng.normal(size=latent_LP.shape)
        scores.append(threshold_LP[:, :n] + latent_LP > 0)
        nlls.append(np.minimum(np.logaddexp(0, -2 * margin_LP), 5.0))
        examples.append(order)
    stream = Stream.of(
        np.concatenate(scores, axis=1).astype(np.float64),
        np.concatenate(nlls, axis=1),
        example_R=np.concatenate(examples),
        place_R=np.tile(np.arange(1, n + 1), cell.seeds),
    )
    return raced(stream) if cell.race else stream, level_LP


def between_lanes(n: int, neighbours: float, rng: np.random.Generator) -> np.ndarray:
    """Unit normals, every lane correlated with the one before it."""
    lane_LE = rng.normal(size=(LANES, n))
    for lane in range(1, LANES):
        lane_LE[lane] = neighbours * lane_LE[lane - 1] + np.sqrt(1 - neighbours**2) * lane_LE[lane]
    return lane_LE


def raced(stream: Stream) -> Stream:
    """Lanes that can hardly make up what they are behind lose the rows that follow (one seed only).

    A plain version of what a run does: the item scores of the criterion as known so far, and 2.6 standard errors of
    what is still to come. The leader and the best lane of each kind stay. Looked at fifty times at most.
    """
    n = stream.places
    start = n // 3
    last_L = np.full(stream.lanes, n)
    assert stream.nll_LR is not None
    for i in range(start + 5, n, max(1, n // 50)):
        running = np.flatnonzero(last_L == n)
        x_KR = item_scores(stream.score_LR[running, start:i], stream.nll_LR[running, start:i], "z23")
        total_K = x_KR.sum(axis=1)
        leader = int(np.argmax(total_K))
        behind_KR = x_KR[leader] - x_KR
        behind_K, k = behind_KR.sum(axis=1), i - start
        noise = 2 * float((x_KR - x_KR.mean(axis=0)).var())
        v_K = (np.square(behind_KR).sum(axis=1) + 2 * noise) / (k + 2) - np.square(behind_K / (k + 2))
        leaves_K = behind_K > 2.6 * np.sqrt(v_K * (n - i))
        for kind in (False, True):
            of_kind = np.flatnonzero(TUNING_L[running] == kind)
            leaves_K[of_kind[np.argmax(total_K[of_kind])]] = False
        last_L[running[leaves_K]] = i
    score_LR = np.where(stream.place_R[None, :] > last_L[:, None], np.nan, stream.score_LR)
    return Stream.of(score_LR, stream.nll_LR)


@dataclass
class Tally:
    """Figures of all repetitions, by name; means are taken at the end, of those that are there."""

    values: dict[str, list[float]] = field(default_factory=dict)
    rhos: dict[str, list[float]] = field(default_factory=dict)

    def add(self, rho: float, **figures: float | bool | None) -> None:
        for name, value in figures.items():
            if value is not None:
                self.values.setdefault(name, []).append(float(value))
                self.rhos.setdefault(name, []).append(rho)

    def means(self) -> dict[str, float]:
        out = {}
        for name, values in self.values.items():
            out[name] = float(np.mean(values))
            if name.endswith("coverage"):
                rhos = np.array(self.rhos[name])
                out[f"{name}_worst_correlation"] = min(float(np.mean(np.array(values)[rhos == r])) for r in set(rhos))
        return out


def measure(cell: Cell, n: int, repetitions: int) -> dict[str, float]:
    rng = np.random.default_rng([CELLS.index(cell), n, 20240601])
    tally = Tally()
    for repetition in range(repetitions):
        rho = CORRELATIONS[repetition % len(CORRELATIONS)]
        stream, level_LP = simulate(cell, n, rho, rng)
        delivered_L = level_LP[:, -1]
        leader = choose(stream, "z23")
        kept = bool(TUNING_L[leader]) and rises(stream, leader)  # it is not given up for a cheaper lane
        rule = replace(cheapest(stream, "z23", TIER_L), near=0.0 if kept else NEAR)
        lane = recommend(stream, "z23", rule)
        resamples = resample(stream, "z23", rule)
        learning_L = TUNING_L & (np.array([rises(stream, k) for k in range(LANES)]) | (n < SHORT_STREAM))
        telling_LR = np.where(TUNING_L[:, None], stream.last_half, stream.after(min(SHOTS, n // 2)))
        for name, window_R, truth in (
            ("prequential", stream.whole, float(level_LP[lane, :n].mean())),
            ("score", telling_LR, float(delivered_L[lane])),
            ("last_half", stream.last_half, float(delivered_L[lane])),
        ):
            found = chosen_estimate(stream, window_R, lane, resamples)
            if name == "score":
                found = at_delivery(stream, window_R, lane, resamples, learning_L)[lane]
            alone = clopper_pearson(found.effective * found.plain, found.effective)
            tally.add(
                rho,
                **{
                    f"{name}_coverage": found.low <= truth <= found.high,
                    f"{name}_uncorrected_coverage": alone[0] <= truth <= alone[1],
                    f"{name}_width": found.high - found.low,
                    f"{name}_width_fixed": alone[1] - alone[0],
                    f"{name}_plain_bias": found.plain - truth,
                    f"{name}_point_bias": found.point - truth,
                    f"{name}_point_outside": not found.low <= found.point <= found.high,
                },
            )
        for criterion in CRITERIA:
            regret = float(delivered_L.max() - delivered_L[choose(stream, criterion)])
            tally.add(rho, **{f"regret_{criterion}": regret})
        for near in NEARS:
            taken = recommend(stream, "z23", replace(rule, near=0.0 if kept else near))
            worse = float(delivered_L.max() - delivered_L[taken])
            tally.add(rho, **{f"regret_near_{near:g}": worse, f"tier_near_{near:g}": TIER_L[taken]})

        pair = choose(stream, "z23", TUNING_L), choose(stream, "z23", ~TUNING_L)
        tuning_R = ~np.isnan(stream.score_LR[pair[0]])
        rising = is_rising(stream.score_LR[pair[0]], stream.place_R, stream.example_R) if tuning_R.all() else False
        for name, window_R, truth_L in (
            ("stream_difference", stream.whole, level_LP[:, :n].mean(axis=1)),
            ("late_difference", stream.last_half, delivered_L),
        ):
            found_d = difference_of_kinds(stream, window_R, TUNING_L, ~TUNING_L, pair, resamples)
            truth = float(truth_L[pair[0]] - truth_L[pair[1]])
            said = "tuning" if found_d.low > 0 else "prompting" if found_d.high < 0 else None
            wrong = (said == "tuning" and truth <= 0) or (said == "prompting" and truth >= 0)
            fixed = tango_width(stream, window_R, pair)
            tally.add(
                rho,
                **{
                    f"{name}_coverage": found_d.low <= truth <= found_d.high,
                    f"{name}_low_holds": found_d.low <= truth,
                    f"{name}_high_holds": truth <= found_d.high,
                    f"{name}_width": found_d.high - found_d.low,
                    f"{name}_width_fixed": fixed,
                    f"{name}_plain_bias": found_d.plain - truth,
                    f"{name}_point_bias": found_d.point - truth,
                    f"{name}_point_outside": not found_d.low <= found_d.point <= found_d.high,
                    f"{name}_truth": truth,
                    f"{name}_found_tuning": said == "tuning",
                    f"{name}_found_prompting": said == "prompting",
                    f"{name}_wrong": wrong,
                    f"{name}_wrong_without_so_far": wrong and not (said == "prompting" and rising),
                },
            )
    return tally.means()


def rises(stream: Stream, lane: int) -> bool:
    there_R = ~np.isnan(stream.score_LR[lane])
    return is_rising(stream.score_LR[lane][there_R], stream.place_R[there_R], stream.example_R[there_R])


def tango_width(stream: Stream, window_R: np.ndarray, pair: tuple[int, int]) -> float:
    """The interval of two lanes fixed beforehand, scores averaged over seeds by example."""
    rows = np.flatnonzero(window_R)
    count_E = np.bincount(stream.example_R[rows], minlength=stream.examples)
    difference_R = stream.score_LR[pair[0], rows] - stream.score_LR[pair[1], rows]
    total_E = np.bincount(stream.example_R[rows], difference_R, stream.examples)
    difference_E = total_E[count_E > 0] / count_E[count_E > 0]
    gains, losses = difference_E[difference_E > 0].sum(), -difference_E[difference_E < 0].sum()
    low, high = tango_interval(float(gains), float(losses), len(difference_E))
    return high - low


def estimates_table(results: list[dict[str, Any]], name: str) -> list[str]:
    lines = [
        "| cell | n | coverage | worst correlation | uncorrected | width | against a fixed lane | bias, plain mean "
        "| point |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        f = each["figures"]
        lines.append(
            f"| {each['cell']} | {each['n']} | {short(f[f'{name}_coverage'])} "
            f"| {short(f[f'{name}_coverage_worst_correlation'])} | {short(f[f'{name}_uncorrected_coverage'])} "
            f"| {short(f[f'{name}_width'])} | {f[f'{name}_width'] / f[f'{name}_width_fixed']:.2f} "
            f"| {100 * f[f'{name}_plain_bias']:+.1f} | {100 * f[f'{name}_point_bias']:+.1f} |"
        )
    return lines


def differences_table(results: list[dict[str, Any]], name: str) -> list[str]:
    lines = [
        "| cell | n | true difference | coverage | worst correlation | lower end | upper end | width "
        "| against fixed lanes | bias, plain mean | point | tuning said | prompting said | wrongly | and not so far |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        f = {key.removeprefix(f"{name}_"): value for key, value in each["figures"].items()}
        lines.append(
            f"| {each['cell']} | {each['n']} | {100 * f['truth']:+.1f} | {short(f['coverage'])} "
            f"| {short(f['coverage_worst_correlation'])} | {short(f['low_holds'])} | {short(f['high_holds'])} "
            f"| {short(f['width'])} | {f['width'] / f['width_fixed']:.2f} | {100 * f['plain_bias']:+.1f} "
            f"| {100 * f['point_bias']:+.1f} | {short(f['found_tuning'])} | {short(f['found_prompting'])} "
            f"| {short(f['wrong'])} | {short(f['wrong_without_so_far'])} |"
        )
    return lines


def regret_table(results: list[dict[str, Any]]) -> list[str]:
    names = [*CRITERIA, *(f"near_{near:g}" for near in NEARS)]
    heads = [*CRITERIA, *(f"cheapest within {near:g} se" for near in NEARS)]
    lines = [f"| cell | n | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for each in results:
        regrets = [each["figures"][f"regret_{name}"] for name in names]
        if max(regrets) > 1e-9:
            shown = " | ".join(f"{100 * regret:.1f}" for regret in regrets)
            lines.append(f"| {each['cell']} | {each['n']} | {shown} |")
    return lines


def short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def as_markdown(report: dict[str, Any]) -> str:
    results = report["results"]
    blocks = [
        ["# What the statistics can do, by simulation", ""],
        [f"`{report['command']}`: {report['repetitions']:,} repetitions a cell, {LANES} lanes, one core,"],
        [f"{report['seconds']:.0f} s."],
        ["Biases and true differences in points. The choice is by z23. What is simulated: benchmarks/statistics.py."],
        ["", "## `prequential`: the chosen lane's mean over the stream", ""],
        estimates_table(results, "prequential"),
        ["", "## `score`: the chosen lane after the last example", ""],
        ["Estimated from the last half of a lane that learns, and from all full rows of one that prompts.", ""],
        estimates_table(results, "score"),
        ["", "## The same from the last half of every lane", ""],
        estimates_table(results, "last_half"),
        ["", "## Tuning less prompting, over the whole stream", ""],
        differences_table(results, "stream_difference"),
        ["", "## Tuning less prompting after the last example, estimated from the last half", ""],
        differences_table(results, "late_difference"),
        ["", "## Which lane: points of true score lost against the best lane at delivery", ""],
        regret_table(results),
    ]
    return "\n".join(line for block in blocks for line in block) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 repetitions, n = 30 and 60")
    parser.add_argument("--repetitions", type=int, default=None)
    parser.add_argument("--cell", default=None, help="only cells whose name holds this; others stay in --json")
    parser.add_argument("--json", type=Path, default=None, help="write figures here, and the tables beside as .md")
    asked = parser.parse_args(arguments)
    repetitions = asked.repetitions or (100 if asked.quick else 1000)
    began = time.monotonic()
    results = []
    for cell in [cell for cell in CELLS if asked.cell is None or asked.cell in cell.name]:
        for n in (30, 60) if asked.quick else SIZES:
            figures = measure(cell, n, repetitions)
            results.append({"cell": cell.name, "n": n, "seeds": cell.seeds, "figures": figures})
            print(f"{time.monotonic() - began:5.0f} s  {cell.name}, n = {n}", file=sys.stderr, flush=True)
    command = ["python -m benchmarks.statistics", *(arguments if arguments is not None else sys.argv[1:])]
    seconds = time.monotonic() - began
    if asked.cell is not None and asked.json is not None and asked.json.exists():
        before = json.loads(asked.json.read_text())
        if before["repetitions"] != repetitions:
            raise SystemExit(f"{asked.json} holds {before['repetitions']} repetitions a cell, not {repetitions}")
        again = {(each["cell"], each["n"]): each for each in results}
        results = [again.get((each["cell"], each["n"]), each) for each in before["results"]]
        command = [before["command"]]
        seconds += before["seconds"]
    report = {
        "command": " ".join(command),
        "repetitions": repetitions,
        "lanes": LANES,
        "seconds": round(seconds, 1),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "results": results,
    }
    text = as_markdown(report)
    if asked.json:
        write(asked.json, report)
        asked.json.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
