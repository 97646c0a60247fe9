"""Is one kind better than another? Paired differences, and what may be said of them."""

from __future__ import annotations

from typing import Any

from fewfit.report.evidence import Evidence
from fewfit.report.figure import Chart, figure, kind_class, ticks
from fewfit.report.markup import Markup, heads, number, table, tag
from fewfit.report.numbers import signed
from fewfit.report.page import section

ROW = 30


def differences(run: Evidence) -> Markup | None:
    """None where there is one kind alone."""
    made = run.result.get("comparisons") or []
    if not made:
        return None
    reach = max(0.1, *(abs(end) for each in made for end in each["interval"]))
    chart = Chart((-reach, 0.5 - len(made)), (reach, 0.5), height=56 + ROW * len(made), left=210)
    chart.x_axis(
        [(value, signed(value).removesuffix(".0") if value else "0") for value in ticks(-reach, reach, 10)],
        "points of 100",
    )
    chart.y_rows([f"{each['this']} − {each['other']}" for each in made])
    chart.stroke((0.0, 0.5), (0.0, 0.5 - len(made)), "zero")
    for k, each in enumerate(made):
        ahead = each["this"] if each["difference"] > 0 else each["other"]
        colour = kind_class("icl" if ahead == "prompting" else ahead)
        title = f"{signed(each['difference'])} ({ends(each['interval'])})"
        chart.stroke((each["interval"][0], -k), (each["interval"][1], -k), f"whisker {colour}", title)
        chart.dot(each["difference"], -k, colour, title, 5)
    rows = [
        tag(
            "tr",
            tag("th", f"{each['this']} − {each['other']}", scope="row"),
            tag("td", tag("span", each["lane"], class_="name"), " − ", tag("span", each["other_lane"], class_="name")),
            number(signed(each["difference"]), each["difference"]),
            tag("td", ends(each["interval"])),
            number(signed(each["prequential"]), each["prequential"]),
            tag("td", said(each), class_={"better": "good", "worse": "bad"}.get(each["says"])),
        )
        for each in made
    ]
    where = "over all questions" if run.is_flat else "over the last half of the stream, where lanes have learnt"
    caption = (
        f"The best lane of one kind less the best of the other, example by example, {where}; both choices are paid for "
        "in the interval. Prompting is zero-shot and icl together. Right of the line the first is ahead."
    )
    columns = ("kinds", "lanes", "difference", "95%", "over all", "what may be said")
    return section(
        "differences",
        "Kind against kind",
        figure(chart, "Paired differences between kinds; the numbers stand in the table below.", caption),
        table("Differences in points of 100", heads(*columns, numbers=("difference", "over all")), rows),
    )


def ends(interval: list[float]) -> str:
    return f"{signed(interval[0])} to {signed(interval[1])}"


def said(each: dict[str, Any]) -> str:
    if each["says"] == "not settled":
        return "not settled"
    if each["so_far"]:
        loser = each["other"] if each["says"] == "better" else each["this"]
        return f"{each['this']} is {each['says']} so far; {loser} was still rising"
    return f"{each['this']} is {each['says']}"
