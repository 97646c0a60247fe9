"""The race: how every lane's score went over the examples."""

from __future__ import annotations

from itertools import accumulate

from fewfit.report.evidence import Evidence
from fewfit.report.figure import Chart, figure, hundredths, kind_class, ticks
from fewfit.report.markup import Markup
from fewfit.report.numbers import points
from fewfit.report.page import section
from fewfit.stats import clopper_pearson

POINTS = 80  # of a line; more than that no screen shows
LEFT = ("dropped", "diverged")
NAMED = 40  # lanes; of more only the best of each kind are named where the pointer stands


def race(run: Evidence) -> Markup | None:
    """None where there was no stream, or nothing of it yet."""
    if run.is_flat:
        return None
    means = {name: thinned(running_means(run.scores(name))) for name in run.lanes}
    means = {name: line for name, line in means.items() if line}
    if not means:
        return None
    n = run.record["data"]["n"]
    chart = Chart((1, 0.0), (max(n, 2), 1.0), height=360)
    chart.x_axis([(one, f"{one:g}") for one in ticks(1, max(n, 2), 8) if one == int(one)], "examples predicted so far")
    chart.y_axis(hundredths())
    if run.result["majority"] is not None:
        chart.stroke((1, run.result["majority"]), (n, run.result["majority"]), "majority")
    leading = list(run.best_of_kind.values())
    for name in leading:
        chart.band(band(means[name]), kind_class(run.lanes[name]["kind"]))
    order = sorted(
        means, key=lambda name: (name == run.result["best"], name in leading, run.lanes[name]["status"] not in LEFT)
    )
    for name in order:
        lane, line = run.lanes[name], means[name]
        left = lane["status"] in LEFT
        rank = "best" if name == run.result["best"] else "main" if name in leading else "left" if left else "other"
        named = f"{name}: {points(line[-1][1])} over {lane['n']}{', ' + lane['status'] if left else ''}"
        title = named if len(means) <= NAMED or name in leading else None
        chart.line(line, f"{kind_class(lane['kind'])} {rank}", title)
        if left:
            chart.dot(*line[-1], f"{kind_class(lane['kind'])} left", title, 3)
    legend = [
        (kind_class(kind), name if name == kind else f"{kind}: {name}") for kind, name in run.best_of_kind.items()
    ]
    if run.result["majority"] is not None:
        legend.append(("majority", "knowing the labels alone"))
    gone = sum(lane["status"] in LEFT for lane in run.result["lanes"])
    told = "; ".join(f"{name} stands at {points(means[name][-1][1])}" for name in leading)
    caption = (
        "Of 100, the mean over all that a lane had predicted by then, each example before it was trained on. The best "
        "of each kind are drawn heavier, with the 95% band of their mean, uncorrected; "
        + (f"{gone} that left early or diverged fade and end in a dot." if gone else "none has left early.")
    )
    return section(
        "race",
        "The race",
        figure(chart, f"Running mean of the score over {n} examples, {len(means)} lanes: {told}.", caption, legend),
    )


def running_means(scores: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """After so many examples. While a lane that only prompts is under way these are not the first ones."""
    return [(n, total / n) for n, total in enumerate(accumulate(score for _, score in scores), start=1)]


def thinned(line: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """The first, the last, and evenly between."""
    if len(line) <= POINTS:
        return line
    return [line[round(k * (len(line) - 1) / (POINTS - 1))] for k in range(POINTS)]


def band(line: list[tuple[int, float]]) -> list[tuple[float, float, float]]:
    """From a tenth of the stream on: before, it covers all there is."""
    return [(n, *clopper_pearson(mean * n, n)) for n, mean in line if n >= line[-1][0] // 10]
