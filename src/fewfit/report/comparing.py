"""Several runs beside each other: models on one data set, data sets on one model, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.files import publish
from fewfit.grid import KINDS
from fewfit.report.evidence import Evidence
from fewfit.report.figure import Chart, figure, hundredths, kind_class
from fewfit.report.markup import Markup, heads, number, table, tag
from fewfit.report.numbers import clock, points, span
from fewfit.report.page import page, section
from fewfit.report.writing import refuse_other
from fewfit.run import folders

ROW = 34
LONGEST_NAME = 30


@dataclass(frozen=True)
class Compared:
    """One run's line: what it was on, and what came of it."""

    run: str
    data: str
    digest: str
    model: str
    metric: str
    n: int
    best: str
    kind: str
    score: float
    interval: tuple[float, float]
    majority: float | None
    test: float | None  # of the best lane
    tokens: float | None  # of a query's prompt
    seconds: float | None
    verdict: str
    by_kind: dict[str, float]  # the score of each kind's best lane

    @staticmethod
    def of(folder: Path) -> Compared:
        record, result = folders.record(folder), folders.result(folder)
        run = Evidence(folder, record, result, {}, {}, with_text=False, tokenizers={})
        tests = {row["name"]: row["score"] for row in result["test"] or ()}
        low, high = result["interval"]
        return Compared(
            run=str(folder),
            data=record["data"]["source"],
            digest=record["data"]["digest"],
            model=run.models,
            metric=result["metric"],
            n=record["data"]["n"],
            best=result["best"],
            kind=run.best["kind"],
            score=result["score"],
            interval=(low, high),
            majority=result["majority"],
            test=tests.get(result["best"]),
            tokens=run.best.get("tokens"),
            seconds=result.get("seconds"),
            verdict=run.says(result["verdict"]),
            by_kind={kind: run.lanes[name]["score"] for kind, name in run.best_of_kind.items()},
        )


def compare(runs: Sequence[str | Path]) -> list[Compared]:
    if len(runs) < 2:
        raise UserError("one run alone", hint="name two or more: fewfit compare RUN RUN")
    return [Compared.of(folders.find(run)) for run in runs]


def caution(compared: Sequence[Compared]) -> str:
    """What these numbers allow to be said."""
    if len({(one.digest, one.metric) for one in compared}) > 1:
        return (
            "Not all of these runs are on the same examples by the same metric: across those, scores say how hard the "
            "task is as much as how good the lane."
        )
    return (
        "All on the same examples by the same metric. Each interval is its own run's: where two overlap, which is "
        "better is not settled. Paired, and so sharper: one run with --model given several times."
    )


def write_comparison(compared: Sequence[Compared], out: str | Path) -> Path:
    target = Path(out)
    refuse_other(target)
    publish(target, comparison_page(compared).encode())
    return target


def comparison_page(compared: Sequence[Compared]) -> str:
    title = f"fewfit: {len(compared)} runs beside each other"
    opening = tag("header", tag("h1", title), tag("p", caution(compared), class_="verdict"), id="runs")
    return page(title, [opening, scores(compared), runs_table(compared), kinds_table(compared), verdicts(compared)])


def name(one: Compared) -> str:
    whole = f"{one.data} · {one.model}"
    return whole if len(whole) <= LONGEST_NAME else whole[: LONGEST_NAME - 1] + "…"


def scores(compared: Sequence[Compared]) -> Markup:
    chart = Chart((0.0, 0.5 - len(compared)), (1.0, 0.5), height=56 + ROW * len(compared), left=235)
    chart.x_axis(hundredths(), "score of 100 on new data, and its 95% interval")
    chart.y_rows([name(one) for one in compared])
    for k, one in enumerate(compared):
        told = f"{one.best}: {points(one.score)} ({span(one.interval)})"
        if one.majority is not None:
            chart.stroke((one.majority, 0.4 - k), (one.majority, -0.4 - k), "majority")
        chart.stroke((one.interval[0], -k), (one.interval[1], -k), f"whisker {kind_class(one.kind)}", told)
        chart.dot(one.score, -k, kind_class(one.kind), told, 6)
        if one.test is not None:
            chart.dot(one.test, -k - 0.28, f"test {kind_class(one.kind)}", "test examples", 4)
    kinds = [kind for kind in KINDS if kind in {one.kind for one in compared}]
    legend: list[tuple[str, str]] = [(kind_class(kind), kind) for kind in kinds]
    if any(one.majority is not None for one in compared):
        legend.append(("majority", "knowing the labels alone"))
    caption = "The recommended lane of each run, coloured by its kind; hollow: on a test file."
    return section("scores", "Scores", figure(chart, "Scores of the runs; the numbers stand below.", caption, legend))


def runs_table(compared: Sequence[Compared]) -> Markup:
    numbers = ("n", "score", "labels alone", "test", "tokens a query")
    names = (
        "data",
        "model",
        "metric",
        "n",
        "lane",
        "score",
        "95%",
        "labels alone",
        "test",
        "tokens a query",
        "took",
        "run",
    )
    rows = [
        tag(
            "tr",
            tag("th", one.data, scope="row"),
            tag("td", one.model),
            tag("td", one.metric),
            number(one.n, one.n),
            tag("td", tag("span", one.best, class_="name")),
            number(points(one.score), one.score),
            tag("td", span(one.interval), data_v=one.interval[0]),
            number(points(one.majority) or "–", one.majority),
            number(points(one.test) or "–", one.test),
            number("–" if one.tokens is None else f"{one.tokens:,.0f}", one.tokens),
            tag("td", clock(one.seconds), data_v=one.seconds),
            tag("td", one.run),
        )
        for one in compared
    ]
    return section(
        "table", "Runs", table("Runs", heads(*names, numbers=numbers, sortable=True), rows, class_="sortable")
    )


def kinds_table(compared: Sequence[Compared]) -> Markup:
    kinds = [kind for kind in KINDS if any(kind in one.by_kind for one in compared)]
    rows = [
        tag(
            "tr",
            tag("th", name(one), scope="row"),
            [
                number(
                    tag("strong", points(one.by_kind[kind])) if kind == one.kind else points(one.by_kind[kind]),
                    one.by_kind[kind],
                )
                if kind in one.by_kind
                else number("–")
                for kind in kinds
            ],
        )
        for one in compared
    ]
    head = heads("run", *kinds, numbers=kinds, sortable=True)
    told = "The score of the best lane of each kind, of 100; the recommended one is bold."
    return section("kinds", "By kind", tag("p", told, class_="quiet"), table("By kind", head, rows, class_="sortable"))


def verdicts(compared: Sequence[Compared]) -> Markup:
    return section("verdicts", "In words", [[tag("h3", name(one)), tag("p", one.verdict)] for one in compared])


def as_json(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    return [{**vars(one), "interval": list(one.interval)} for one in compared]
