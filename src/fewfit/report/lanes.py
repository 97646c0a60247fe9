"""All lanes in one table that sorts."""

from __future__ import annotations

from typing import Any

from fewfit.grid import short
from fewfit.report.evidence import Evidence
from fewfit.report.figure import kind_class
from fewfit.report.markup import Markup, heads, number, table, tag
from fewfit.report.numbers import points, span
from fewfit.report.page import section

NUMBERS = ("shots", "rate", "updates", "n", "score", "stream", "nats", "tokens")


def lanes(run: Evidence, *, sortable: bool = True) -> Markup:
    """`sortable` where the page's script sorts."""
    several = len(run.record["models"]) > 1
    names = ["lane", "kind", *(["model"] if several else []), "shots", "rate", "updates", "n", "score", "95%", "stream",
             "nats", "tokens", "status"]  # fmt: skip
    ordered = sorted(run.result["lanes"], key=lambda lane: -(lane["score"] if lane["score"] is not None else -1.0))
    caption = f"{len(ordered)} lanes, the best score first"
    told = (
        "Score: of 100 on new data, as the lane would be delivered, with an interval that holds for all lanes at once "
        "(the recommended lane's score is corrected for its having been chosen). Stream: the plain mean over all that "
        "it predicted. Nats: an answer's negative log-likelihood. Tokens: of a query's prompt. Lanes that were dropped "
        "or diverged count with the rows that they have."
    )
    return section(
        "lanes",
        "Lanes",
        tag("p", told, class_="quiet"),
        table(
            caption,
            heads(*names, numbers=NUMBERS, sortable=sortable),
            [row(run, lane, several) for lane in ordered],
            class_="sortable",  # which keeps its cells on one line, too
        ),
    )


def row(run: Evidence, lane: dict[str, Any], several: bool) -> Markup:
    best = lane["name"] == run.result["best"]
    status = lane["status"] + (", still rising" if lane.get("rising") and lane["status"] == "done" else "")
    return tag(
        "tr",
        tag("th", "▶ " if best else None, tag("span", lane["name"], class_="name"), scope="row"),
        tag("td", tag("span", class_=f"key {kind_class(lane['kind'])}", aria_hidden="true"), lane["kind"]),
        tag("td", lane["model"]) if several else None,
        number(lane["shots"], lane["shots"]),
        number(short(lane["lr"]) if lane["lr"] else "–", lane["lr"]),
        number(lane["updates"] or "–", lane["updates"]),
        number(lane["n"], lane["n"]),
        number(points(lane["score"]) or "–", lane["score"]),
        tag("td", span(lane["interval"]), data_v=lane["interval"][0]) if lane.get("interval") else tag("td", "–"),
        number(points(lane["prequential"]) or "–", lane["prequential"]),
        number("–" if lane["nll"] is None else f"{lane['nll']:.2f}", lane["nll"]),
        number("–" if lane.get("tokens") is None else f"{lane['tokens']:,.0f}", lane.get("tokens")),
        tag("td", status),
        class_="best" if best else "left" if lane["status"] != "done" else None,
    )
