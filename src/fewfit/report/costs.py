"""What each lane costs: to make, and by the query; and from how many queries on tuning is the cheaper."""

from __future__ import annotations

from typing import Any

from fewfit.report.evidence import Evidence
from fewfit.report.figure import Chart, figure, kind_class, ticks
from fewfit.report.markup import Markup, heads, number, table, tag
from fewfit.report.numbers import clock
from fewfit.report.page import section

FEW = 24  # lanes that are shown without being asked for


def costs(run: Evidence) -> Markup | None:
    made = run.result.get("costs")
    if not made:
        return None
    inferred = any(one["inferred_tokens"] for one in made)
    names = ["lane", "tokens trained on", "seconds to train"]
    names += ["tokens inferred", "seconds to infer"] if inferred else []
    names.append("tokens a query")
    rows = [row(one, inferred, one["name"] == run.result["best"]) for one in made]
    whole = table("Costs by lane", heads(*names, numbers=names[1:], sortable=True), rows, class_="sortable")
    told = (
        "Under one seed. Seconds are the lane's share of the run's, by the work that it was, on the machine of the "
        "run; a lane that only prompts costs nothing to make."
    )
    line = cost_line(run.result)
    return section(
        "costs",
        "Costs",
        tag("p", line) if line else None,
        break_even_chart(run),
        tag("p", told, class_="quiet"),
        whole if len(rows) <= FEW else tag("details", tag("summary", f"Costs of all {len(rows)} lanes"), whole),
    )


def row(one: dict[str, Any], inferred: bool, best: bool) -> Markup:
    counts = [
        "trained_tokens",
        "train_seconds",
        *(["inferred_tokens", "infer_seconds"] if inferred else []),
        "query_tokens",
    ]
    cells = []
    for name in counts:
        value = one[name]
        text = "–" if value is None else f"{value:,.1f}" if name.endswith("seconds") else f"{value:,.0f}"
        cells.append(number(text, value))
    head = tag("th", tag("span", one["name"], class_="name"), scope="row")
    return tag("tr", head, cells, class_="best" if best else None)


def break_even_chart(run: Evidence) -> Markup | None:
    even = run.result.get("break_even")
    if not even or not even["queries"]:
        return None
    by_name = {one["name"]: one for one in run.result["costs"]}
    tuned, prompted = (by_name[even[side]] for side in ("tuned", "prompted"))
    queries = even["queries"]
    spent = even.get("spent", queries * (prompted["query_tokens"] - tuned["query_tokens"]))
    last = 2 * queries
    lines = {
        even["tuned"]: [(0.0, float(spent)), (last, spent + last * tuned["query_tokens"])],
        even["prompted"]: [(0.0, 0.0), (last, last * prompted["query_tokens"])],
    }
    top = max(y for line in lines.values() for _, y in line)
    chart = Chart((0.0, 0.0), (last, top), height=260, left=70)
    chart.x_axis([(value, f"{value:,.0f}") for value in ticks(0, last, 6)], "queries answered")
    chart.y_axis([(value, amount(value)) for value in ticks(0, top, 5)])
    legend = []
    for name, line in lines.items():
        colour = kind_class(run.lanes[name]["kind"])
        chart.line(line, f"{colour} main", name)
        legend.append((colour, name))
    chart.dot(queries, spent + queries * tuned["query_tokens"], "k-plain", f"{queries:,} queries")
    caption = (
        "Tokens, training and queries together (a token trained on counts as its passes). Every prompt is reckoned "
        "whole: where a server keeps what all prompts begin with, tuning takes longer to pay."
    )
    return figure(chart, f"Tuning is the cheaper from some {queries:,} queries on.", caption, legend)


def amount(tokens: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:g}{letter}"
    return f"{tokens:g}"


def cost_line(result: dict[str, Any]) -> str | None:
    """What training cost, and from how many queries on it pays."""
    even = result.get("break_even")
    if even is None:
        return None
    tuned, prompted = (
        next(one for one in result["costs"] if one["name"] == even[side]) for side in ("tuned", "prompted")
    )
    spent = f"{tuned['trained_tokens']:,} tokens ({clock(tuned['train_seconds'])})"
    if tuned["inferred_tokens"]:
        by = f" of {even['inferred_by']}, not reckoned here," if even.get("inferred_by") else ""
        spent += f" and inferring {tuned['inferred_tokens']:,}{by} ({clock(tuned['infer_seconds'])})"
    queries = (
        f"a query reads {tuned['query_tokens']:,.0f} tokens, of {even['prompted']} {prompted['query_tokens']:,.0f}"
    )
    pays = (
        "it does not pay by shorter prompts"
        if even["queries"] is None
        else f"it pays from some {even['queries']:,} queries on"
    )
    return f"Cost: training {even['tuned']} took about {spent}; {queries}: {pays}."
