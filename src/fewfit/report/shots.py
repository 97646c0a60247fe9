"""Does it help to show more examples? The score by demonstrations in the prompt, of prompting and of tuning."""

from __future__ import annotations

from collections import defaultdict

from fewfit.report.evidence import Evidence
from fewfit.report.figure import Chart, figure, hundredths
from fewfit.report.markup import Markup
from fewfit.report.numbers import points, span
from fewfit.report.page import section

SIDES = (("prompting", "k-icl", ("zero-shot", "icl")), ("tuning", "k-icl-ft", ("ft", "icl+ft")))
APART = 0.06  # of a step: the two sides' dots do not hide each other


def shots(run: Evidence) -> Markup | None:
    """None where all lanes have equally many."""
    model = run.best["model"]  # the recommended lane's: what another needs is another question
    scored = [lane for lane in run.result["lanes"] if lane["score"] is not None and lane["model"] == model]
    counts = sorted({lane["shots"] for lane in scored})
    if len(counts) < 2:
        return None
    chart = Chart((-0.4, 0.0), (len(counts) - 0.6, 1.0), height=300)
    chart.x_axis([(k, str(count)) for k, count in enumerate(counts)], "examples in the prompt")
    chart.y_axis(hundredths())
    told, legend = [], []
    for turn, (side, colour, kinds) in zip((-APART, APART), SIDES, strict=True):
        mine = [lane for lane in scored if lane["kind"] in kinds]
        if not mine:
            continue
        at: dict[int, list[float]] = defaultdict(list)
        for lane in mine:
            k, left = counts.index(lane["shots"]) + turn, lane["status"] != "done"
            title = f"{lane['name']}: {points(lane['score'])} ({span(lane['interval'])})"
            if not left:
                chart.stroke((k, lane["interval"][0]), (k, lane["interval"][1]), f"whisker thin {colour}")
                at[lane["shots"]].append(lane["score"])
            chart.dot(k, lane["score"], f"{colour}{' left' if left else ''}", title)
        means = [(count, sum(some) / len(some)) for count, some in sorted(at.items())]
        if len(means) > 1:
            chart.line([(counts.index(count) + turn, mean) for count, mean in means], f"{colour} main")
        legend.append((colour, side))
        told.append(f"{side}: " + ", ".join(f"{points(mean)} at {count}" for count, mean in means))
    caption = (
        "A dot is a lane, with its interval; the lines go through the mean of those that ended (rates and updates "
        "together). Lanes that left early are faded and not in the mean. All numbers are in the table of lanes."
    )
    if len(run.record["models"]) > 1:
        caption += f" Of {model} alone."
    name = f"Score by examples in the prompt. {'; '.join(told)}."
    return section("shots", "Examples in the prompt", figure(chart, name, caption, legend))
