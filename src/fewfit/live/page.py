"""The page of a run that goes on, or has just ended. It is whole whenever it is asked for: its script exchanges the
parts that have changed, and without a script a reload does."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.live.standing import announcement, so_far
from fewfit.report.evidence import Evidence
from fewfit.report.figure import kind_class
from fewfit.report.lanes import lanes
from fewfit.report.markup import Markup, heads, number, table, tag
from fewfit.report.numbers import points, span, time_left
from fewfit.report.opening import heading, opening
from fewfit.report.page import REPORT, frame, part, policy, section
from fewfit.report.race import LEFT, race
from fewfit.run.board import Board
from fewfit.stats import clopper_pearson

HERE = Path(__file__).parent
STARTING, RUNNING, STOPPED, DONE = "starting", "running", "stopped", "done"


@dataclass(frozen=True)
class Moment:
    """A run that goes on, or was stopped."""

    run: Evidence  # the lanes so far
    board: Board
    left: float | None  # seconds
    phase: str
    state: str


def starting(phase: str) -> str:
    told = tag("p", "Nothing is predicted yet", f": {phase}." if phase else ".", class_="verdict")
    return framed("fewfit", STARTING, "", [tag("header", tag("h1", "The run is being prepared"), told, id="verdict")])


def running(at: Moment) -> str:
    share = f"{100 * at.board.share():.0f}%"
    parts = [top(at), race(at.run), table_of_lanes(at)]
    return framed(f"{share}: {heading(at.run)}", at.state, announcement(at.board), parts)


def done(run: Evidence) -> str:
    """Its first screen, the race, the lanes; all else stands in the report."""
    place = f"{run.place}/{REPORT}"
    rest = tag("p", "Its report shows the rest, and opens offline in any browser:")
    there = section("report", "The run is done", rest, tag("pre", place))
    said = f"The run is done. {run.says(run.result['verdict'])}"
    return framed(f"done: {heading(run)}", DONE, said, [opening(run), there, race(run), lanes(run, sortable=False)])


def top(at: Moment) -> Markup:
    board, ended = at.board, sum(at.board.status(name) not in ("running", "waiting") for name in at.board.lanes)
    share = board.share()
    told = [f"{100 * share:.0f}% of the work is done", f"{ended} of {len(board.lanes)} lanes have ended"]
    if at.state == RUNNING:
        told.insert(1, time_left(at.left))
        told += [at.phase] if at.phase else []
    bar = tag("progress", value=f"{share:.3f}", max="1", aria_label="Share of the work that is done")
    return tag(
        "header",
        tag("h1", heading(at.run)),
        tag("p", so_far(board, at.run.record), class_="verdict"),
        bar,
        tag("p", " · ".join(told), class_="quiet"),
        stopped(at.run) if at.state == STOPPED else None,
        id="verdict",
    )


def stopped(run: Evidence) -> list[Markup]:
    return [
        tag("p", tag("strong", "The run was stopped before its end."), " What is done is kept. To go on:"),
        tag("pre", f"fewfit resume {shlex.quote(run.place)} --watch"),
    ]


def table_of_lanes(at: Moment) -> Markup:
    several = len(at.run.record["models"]) > 1
    names = ["lane", "kind", *(["model"] if several else []), "predicted", "so far", "95% band", "status"]
    ordered = sorted(at.board.lanes, key=lambda name: -at.board.lanes[name].rank)
    told = (
        "So far: of 100, the plain mean over what a lane has predicted, each example before it was trained on. Band: "
        "of that mean, uncorrected. Numbers are those of the last snapshots, some seconds old; what a lane would score "
        "on new data is said at the end."
    )
    return section(
        "lanes",
        "Lanes",
        tag("p", told, class_="quiet"),
        table(
            f"{len(ordered)} lanes, the best mean first",
            heads(*names, numbers=("predicted", "so far")),
            [row(at, name, several) for name in ordered],
        ),
    )


def row(at: Moment, name: str, several: bool) -> Markup:
    state, status, best = at.board.lanes[name], at.board.status(name), name == at.run.result["best"]
    scores = at.run.scores(name)
    known = len(scores)
    band = span(clopper_pearson(sum(score for _, score in scores) / known * known, known)) if known else "–"
    return tag(
        "tr",
        tag("th", "▶ " if best else None, tag("span", name, class_="name"), scope="row"),
        tag("td", tag("span", class_=f"key {kind_class(state.lane.kind)}", aria_hidden="true"), state.lane.kind),
        tag("td", state.lane.model) if several else None,
        number(f"{state.done} of {state.rows}"),
        number(points(state.mean) or "–"),
        tag("td", band),
        tag("td", status),
        class_="best" if best else "left" if status in LEFT else None,
    )


# ---- the frame -------------------------------------------------------------------------------------------------------


def framed(title: str, state: str, said: str, sections: list[Any]) -> str:
    """What is said to those who listen stands outside of what is exchanged."""
    return frame(
        title,
        style(),
        script(),
        tag("p", id="said", class_="unseen", role="status"),
        tag("p", id="link", class_="link"),
        tag("main", [one for one in sections if one], data_state=state, data_said=said),
        more=MORE,
        head=tag("link", rel="icon", href="data:,"),
    )


MORE = "; connect-src 'self'; img-src data:"  # itself again; and no icon is asked for


def style() -> str:
    return part("style.css") + part("live.css", HERE)


def script() -> str:
    return part("live.js", HERE)


def security_policy() -> str:
    """As a header: what a page cannot say of itself stands there, too."""
    return f"{policy(style(), script())}{MORE}; frame-ancestors 'none'"
