"""How hard to tune: the score by learning rate and updates, as tables whose cells are coloured."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import Any

from fewfit.grid import Lane, short
from fewfit.report.evidence import Evidence
from fewfit.report.markup import Markup, table, tag
from fewfit.report.numbers import points, span
from fewfit.report.page import section

MOST = 12  # tables; of more the ones with the best lane in them
STEPS = 10


def heat(run: Evidence) -> Markup | None:
    """None where no two lanes differ in rate or updates alone."""
    families: dict[Lane, list[tuple[Lane, dict[str, Any]]]] = defaultdict(list)
    for name, lane in run.coordinates.items():
        if lane.trains and name in run.lanes:
            families[replace(lane, lr=1.0, updates=1)].append((lane, run.lanes[name]))
    several = [members for members in families.values() if len(members) > 1]
    several.sort(key=lambda members: -max(known["score"] or 0.0 for _, known in members))
    if not several:
        return None
    told = (
        "Of 100, as in the table of lanes; darker is better, on one scale from 0 to 100. In brackets: lanes that left "
        "early, scored on what they predicted until then."
    )
    if len(several) > MOST:
        told += f" The {MOST} families of {len(several)} that hold the best lanes."
    grids = [grid(run, members) for members in several[:MOST]]
    return section(
        "rates", "Learning rate and updates", tag("p", told, class_="quiet"), tag("div", grids, class_="beside")
    )


def grid(run: Evidence, members: list[tuple[Lane, dict[str, Any]]]) -> Markup:
    rates = sorted({lane.lr for lane, _ in members})
    updates = sorted({lane.updates for lane, _ in members})
    cells = {(lane.lr, lane.updates): known for lane, known in members}
    rows = [
        tag(
            "tr",
            tag("th", short(rate), scope="row"),
            [cell(run, cells.get((rate, count))) for count in updates],
        )
        for rate in rates
    ]
    heads = [tag("th", "rate", scope="col"), *(tag("th", f"{n} update{'s' * (n != 1)}", scope="col") for n in updates)]
    return table(family_name(members[0][0].name), heads, rows, class_="grid")


def family_name(lane: str) -> str:
    """The lane's name without rate and updates."""
    return re.sub(r"-lr[\d.]+e-?\d+-u\d+", "", lane)


def cell(run: Evidence, known: dict[str, Any] | None) -> Markup:
    if known is None or known["score"] is None:
        return tag("td", "–")
    text = points(known["score"])
    step = min(STEPS - 1, int(known["score"] * STEPS))
    return tag(
        "td",
        tag("strong", f"▶ {text}")
        if known["name"] == run.result["best"]
        else text
        if known["status"] == "done"
        else f"({text})",
        class_=f"h{step}",
        title=f"{known['name']}: {text} ({span(known['interval'])})",
    )
