"""What more examples would bring: what they would settle, how much narrower the interval, what still rises."""

from __future__ import annotations

from typing import Any

from fewfit.report.evidence import Evidence
from fewfit.report.markup import Markup, heads, number, table, tag
from fewfit.report.numbers import points, signed
from fewfit.report.page import section
from fewfit.select.verdict import MANY, roughly

TIMES = (2, 4)


def more(run: Evidence) -> Markup:
    result = run.result
    low, high = result["interval"]
    n = result.get("n") or run.record["data"]["n"]
    narrower = ", ".join(f"about {points((high - low) / times**0.5)} with {times * n:,}" for times in TIMES)
    width = f"The 95% range of {result['best']} is {points(high - low)} points wide with {n:,} {run.what}; {narrower}."
    rising = [lane["name"] for lane in result["lanes"] if lane.get("rising") and lane["status"] == "done"]
    told = [tag("p", width)]
    if rising:
        told.append(tag("p", f"Still rising at the end, and so likely better with more: {', '.join(rising)}."))
    elif not run.is_flat and any(lane["updates"] for lane in result["lanes"]):
        told.append(
            tag("p", "No lane that ended was still rising: more examples would make the numbers surer, not higher.")
        )
    open_ones = [each for each in result.get("comparisons", ()) if each["says"] == "not settled"]
    if open_ones:
        rows = [
            tag(
                "tr",
                tag("th", f"{each['this']} − {each['other']}", scope="row"),
                number(signed(each["difference"]), each["difference"]),
                tag("td", needed(each, run.what)),
            )
            for each in open_ones
        ]
        columns = heads(
            "kinds", "difference now", "to settle it, if it is as large as it looks", numbers=("difference now",)
        )
        told.append(table("What is not settled", columns, rows))
    return section("more", f"What more {run.what} would bring", told)


def needed(each: dict[str, Any], what: str) -> str:
    if each["more"] is None:
        return "too close to call"
    if each["more"] > MANY:
        return f"thousands of {what}"
    return f"some {roughly(each['more']):,} more {what}"
