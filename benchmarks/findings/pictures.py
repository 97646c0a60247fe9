"""Three figures of docs/findings.md as SVG that stands alone, in the colours of fewfit's reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.promise.report import Run, now
from fewfit.grid import KINDS
from fewfit.report.figure import Chart, hundredths, kind_class
from fewfit.suites.claims import mean
from fewfit.suites.tasks.comparing import at, level
from fewfit.suites.tasks.testing import numbers

Row = dict[str, Any]
# Class: on white, on black. Colours are spelled out, since not every reader of SVG knows variables.
COLOURS = {
    "k-zero-shot": ("#6b7280", "#9aa4af"),
    "k-icl": ("#1f6feb", "#6cb0ff"),
    "k-ft": ("#c2410c", "#f59e5b"),
    "k-icl-ft": ("#15803d", "#58c77e"),
    "k-plain": ("#1b1f24", "#e6e8eb"),
}
PAGE = (("#ffffff", "#57606a", "#1b1f24", "#d0d7de"), ("#0f1419", "#9aa4af", "#e6e8eb", "#30363d"))


def style(dark: bool) -> str:
    back, quiet, text, rule = PAGE[dark]
    kinds = (
        f".{name} {{ fill: {one[dark]}; stroke: {one[dark]}; }} .test.{name} {{ fill: {back}; }}"
        for name, one in COLOURS.items()
    )
    return (
        f"svg {{ background: {back}; }} text {{ fill: {quiet}; font: 12px system-ui, sans-serif; }} "
        f"text.row {{ fill: {text}; }} .grid {{ stroke: {rule}; }} {' '.join(kinds)} .test {{ stroke-width: 2; }} "
        ".dot:not(.test) { stroke: none; } .whisker { stroke-width: 2.5; stroke-linecap: round; opacity: .55; }"
    )


STYLE = f"{style(False)} @media (prefers-color-scheme: dark) {{ {style(True)} }}"
LEFT, ROW = 230, 24
WORLD = {"world": "curse", "split": "reversal", "names": "plausible", "scale": "small", "quick": False}
# As they stand in the figure, from the top, and the kind whose colour each has.
CONDITIONS = {
    "none": ("as it is", "zero-shot"),
    "icl": ("documents in the prompt", "icl"),
    "ft": ("tuned on the documents", "ft"),
    "ft+local": ("… and the model's own inferences", "icl+ft"),
    "ft+truth": ("… and all true inferences", "plain"),
}


def save(path: Path, chart: Chart, name: str) -> None:
    drawn = chart.drawing(name).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, tail = drawn.split(">", 1)
    path.write_text(f"{head}><style>{STYLE}</style>{tail}\n")


def rows_chart(names: Sequence[str], axis: str) -> Chart:
    """A row each under a line that says what the dots are."""
    chart = Chart((0, -len(names) + 0.5), (1, 1.4), height=ROW * (len(names) + 1) + 60, left=LEFT)
    chart.x_axis(hundredths(), axis)
    chart.y_rows(names)
    return chart


def legend(chart: Chart, told: Sequence[tuple[str, str]]) -> None:
    """In the chart itself: class and words."""
    step = 0.99 / len(told)
    for k, (class_, words) in enumerate(told):
        chart.dot(0.01 + k * step, 1, class_)
        chart.text(chart.x(0.01 + k * step) + 9, chart.y(1) + 4, words, anchor="start", class_="row")


def kinds(rows: Sequence[Row], model: str, n: int) -> Chart:
    """Task by task, accuracy of each kind on the test, means over orders."""
    some = [row for row in rows if (row["model"], row["n"]) == (model, n) and row["accuracy"] is not None]
    tasks = sorted(
        {row["task"] for row in some if row["condition"] == "icl+ft"},
        key=lambda task: -level(at(some, (model, task, n), "icl+ft")),
    )
    chart = rows_chart(tasks, f"of 100 test examples right, {model}, tuned or prompted on {n} examples")
    for k, task in enumerate(tasks):
        found = {kind: level(there) for kind in KINDS if (there := at(some, (model, task, n), kind))}
        chart.stroke((min(found.values()), -k), (max(found.values()), -k), "grid")
        for kind, value in found.items():
            chart.dot(value, -k, kind_class(kind), f"{task}, {kind}: {100 * value:.0f}")
    legend(chart, [(kind_class(kind), kind) for kind in KINDS])
    return chart


def reversals(rows: Sequence[Row]) -> Chart:
    """Questions turned round; filled SmolLM2, hollow Gemma. Only of seeds that all conditions of a model have: another
    seed has other questions."""
    models = ("smollm2", "gemma3-270m")
    asked = [row for row in rows if all(row[name] == value for name, value in WORLD.items())]
    chart = rows_chart([words for words, _ in CONDITIONS.values()], "of 100 reversed questions right (chance: 25)")
    chart.stroke((0.25, 0.4), (0.25, -len(CONDITIONS) + 0.5), "whisker k-zero-shot")
    for model, down, hollow in zip(models, (0.13, -0.2), ("", " test"), strict=True):
        mine = [row for row in asked if row["model"] == model and row["condition"] in CONDITIONS]
        seeds = shared_seeds(mine)
        for k, (condition, (_, kind)) in enumerate(CONDITIONS.items()):
            some = [row for row in mine if row["condition"] == condition and row["seed"] in seeds]
            if some:
                told = mean([value for row in some for value in numbers(row["hits"])])
                chart.stroke((told.low, down - k), (told.high, down - k), f"whisker {kind_class(kind)}")
                chart.dot(told.value, down - k, kind_class(kind) + hollow, f"{model}, {condition}: {told}")
    legend(chart, [("k-plain", "SmolLM2 135M"), ("k-plain test", "Gemma 3 270M")])
    return chart


def shared_seeds(rows: Sequence[Row]) -> set[int]:
    """That all conditions of these rows have."""
    seeds = [{row["seed"] for row in rows if row["condition"] == one} for one in {row["condition"] for row in rows}]
    return set.intersection(*seeds) if seeds else set()


def promises(runs: Sequence[Run], n: int) -> Chart:
    """What each run said of its recommended lane, and what its bundle then scored."""
    some = sorted(((now(run), run) for run in runs if run.cell.n == n), key=lambda one: -one[0].truth)
    names = [f"{run.cell.model.split('3')[0]} {run.cell.task} {run.cell.record['order']}" for _, run in some]
    chart = rows_chart(names, f"of 100, promised after {n} examples (95% interval), and scored by the delivered bundle")
    for k, (told, run) in enumerate(some):
        kind = kind_class(next(lane.kind for lane in run.table.lanes if lane.name == run.found.best.name))
        chart.stroke((told.low, -k), (told.high, -k), f"whisker {kind}")
        chart.dot(told.point, -k, kind, f"{names[k]}: promised {100 * told.point:.0f}", radius=3.5)
        chart.dot(told.truth, -k, "k-plain test", f"{names[k]}: delivered {100 * told.truth:.0f}", radius=3.5)
    legend(chart, [*((kind_class(kind), kind) for kind in KINDS), ("k-plain test", "delivered")])
    return chart
