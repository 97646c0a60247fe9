"""Cells of tasks, run and shown: accuracy by condition and number of examples, and which condition is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fewfit.cli import output
from fewfit.cli.suite.shown import SCHEMA, print_table

THIS, OTHERS = "icl+ft", ("icl", "ft")
THIRTY = 30  # the smaller budget of the paper's tables


def run_all(asked: Sequence[Any], out: Path, dtype: str, quiet: bool) -> list[dict[str, Any]]:
    """Model after model, each loaded once."""
    from fewfit.models import local
    from fewfit.suites.tasks import suite

    tell = (lambda what: None) if quiet else output.say
    rows = []
    for one in asked:
        rows += suite.run(one, local.load(one.model, dtype=dtype, tell=tell), out, tell)
    return rows


def tell_plans(asked: Sequence[Any], dtype: str, as_json: bool) -> None:
    from fewfit.cli.planning import amount
    from fewfit.report.numbers import clock
    from fewfit.suites.tasks.planning import planned

    made = [planned(one, dtype) for one in asked]
    if as_json:
        output.line({"schema": SCHEMA, "models": made})
        return
    for one in made:
        head = [one["model"], "to learn from", "to test on", "cells", "tokens", "hours"]
        lines = [
            [row["task"], str(row["pool"]), str(row["test"]), str(row["cells"]), amount(row["tokens"]),
             f"{row['hours']:.2f}"]
            for row in one["rows"]
        ]  # fmt: skip
        print_table(head, lines)
        print(
            f"\nAbout {clock(3600 * one['hours'])} on this machine ({one['device']}, {one['dtype']}, one process), "
            f"and {clock(3600 * one['gpu_hours'])} on a GPU of the H100's class (reckoned, not measured).\n"
        )


def show_paper(rows: list[dict[str, Any]], out: Path, *, as_json: bool) -> None:
    """All rows, ICL+FT against the better of its parents, and the paper's own figures of the same tasks."""
    from fewfit.suites.results import ROWS
    from fewfit.suites.tasks import paper
    from fewfit.suites.tasks.comparing import between_models, counts, differences, overall

    some = differences(rows, THIS, OTHERS)
    if as_json:
        told = {"rows": rows, "differences": [one.as_json() for one in some], "paper": paper.beside(rows)}
        told["models"] = [one.as_json() for one in between_models(rows)]
        output.line({"schema": SCHEMA, **told, "file": str(out / ROWS)})
        return
    show_accuracy(rows)
    show_theirs(rows)
    show_means(rows)
    for model in dict.fromkeys(one.model for one in some):
        for n in sorted({one.n for one in some if one.model == model}):
            mine = [one for one in some if (one.model, one.n) == (model, n)]
            number, mean = counts(mine), overall(mine)
            points = "" if mean is None else f", by {mean} points over tasks"
            print(
                f"{model}, n = {n}: ICL+FT against the better of ICL and FT: better in {number['better']}, equal in "
                f"{number['equal']}, worse in {number['worse']} of {len(mine)} tasks{points}"
            )
    show_models(rows)
    print(f"\nEvery row: {out / ROWS}")


def show_models(rows: list[dict[str, Any]]) -> None:
    """Each model tuned against each other one prompted: a column for each, and a line over all tasks."""
    from fewfit.suites.tasks.comparing import between_models, summary

    some = between_models(rows)
    if not some:
        return
    sides = {id(one): (one.this, one.other.partition(" of ")[2]) for one in some}
    columns = list(dict.fromkeys(sides.values()))
    lines = []
    for task, n in dict.fromkeys((one.task, one.n) for one in some):
        here = {sides[id(one)]: str(one.value) for one in some if (one.task, one.n) == (task, n)}
        lines.append([task, str(n), *(here.get(one, "–") for one in columns)])
    print()
    print_table(["points above", "n", *(f"{this} over {other} prompted" for this, other in columns)], lines)
    print()
    for this, other in columns:
        mine = [one for one in some if sides[id(one)] == (this, other)]
        print(f"{this} against the better prompting of {other}:{summary(mine)}")


def show_accuracy(rows: list[dict[str, Any]]) -> None:
    """A line for each task and size, a column for each condition; the mean over seeds, and with one seed the interval
    of its test examples."""
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        conditions = list(dict.fromkeys(row["condition"] for row in mine))
        lines = []
        for task, n in sorted({(row["task"], row["n"]) for row in mine}):
            here = [row for row in mine if (row["task"], row["n"]) == (task, n)]
            guess = here[0]["majority"]
            cells = [accuracy([row for row in here if row["condition"] == name]) for name in conditions]
            lines.append([task, str(n), str(here[0]["test"]), *cells, "–" if guess is None else f"{100 * guess:.0f}"])
        print_table([model, "n", "test", *conditions, "one answer always"], lines)
        print()


def accuracy(rows: list[dict[str, Any]]) -> str:
    known = [row for row in rows if row["accuracy"] is not None]
    if not known:
        return "diverged" if rows else "–"
    mean = 100 * fmean(row["accuracy"] for row in known)
    if len(known) > 1:
        return f"{mean:.0f}"
    low, high = known[0]["interval"]
    return f"{mean:.0f} ({100 * low:.0f}-{100 * high:.0f})"


def show_theirs(rows: list[dict[str, Any]]) -> None:
    """Like beside like: accuracy over a whole stream, ours of the largest n here."""
    from fewfit.suites.tasks import paper

    told = [name for name in dict.fromkeys(row["task"] for row in rows) if paper.prequential(name)]
    if not told:
        return
    models = paper.published()["models"]
    for model in dict.fromkeys(row["model"] for row in rows):
        lines = []
        for name in told:
            mine = [row for row in rows if (row["task"], row["model"]) == (name, model)]
            n = max(row["n"] for row in mine)
            line = [name, str(n)]
            for kind in paper.KINDS:
                values = [row["prequential"] for row in mine if row["n"] == n and row["condition"] == kind]
                known = [value for value in values if value is not None]
                line.append(f"{100 * fmean(known):.0f}" if known else "–")
            for size in range(len(models)):
                theirs = paper.prequential(name, size) or {}
                line.append("/".join(f"{100 * theirs[kind]:.0f}" for kind in paper.KINDS))
            lines.append(line)
        head = ["over the whole stream", "n", *(f"{kind}, {model}" for kind in paper.KINDS)]
        print_table([*head, *(f"ft/icl+ft, {name}" for name in models)], lines)
        of = paper.published()["prequential_of"]
        print(f"\nThe last {len(models)} columns are not ours: {paper.source()}. {of}\n")


def show_means(rows: list[dict[str, Any]]) -> None:
    """Held-out accuracy over tasks, ours of 30 examples and of most, and theirs of all their tasks."""
    from fewfit.suites.tasks import paper

    for mean in paper.MEANS:
        tasks = paper.tasks_of(mean)
        mine = [row for row in rows if row["task"] in tasks]
        if not mine:
            continue
        told = paper.published()[mean]
        kinds = list(told["all"])
        lines = [line for model in dict.fromkeys(row["model"] for row in mine) for line in ours(mine, model, kinds)]
        for size, model in enumerate(paper.published()["models"]):
            for n in (n for n in told if n != "what"):
                theirs = [str(told[n][kind][size]) for kind in kinds]
                lines.append([f"{model}, theirs", n, str(len(tasks)), *theirs])
        print_table(["mean held-out accuracy", "n", "tasks", *kinds], lines)
        print(f"\nLines of theirs are not ours: {paper.source()}, {told['what']}.\n")


def ours(rows: list[dict[str, Any]], model: str, kinds: list[str]) -> list[list[str]]:
    """Over the tasks that have all kinds: with 30 examples, and with most of each."""
    by_place: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in rows:
        if row["model"] == model and row["condition"] in kinds and row["accuracy"] is not None:
            by_place.setdefault((row["task"], row["n"]), {}).setdefault(row["condition"], []).append(row["accuracy"])
    whole = {place: told for place, told in by_place.items() if len(told) == len(kinds)}
    most = {task: max(n for one, n in whole if one == task) for task, _ in whole}
    lines = []
    for places in ([place for place in whole if place[1] == THIRTY], list(most.items())):
        sizes = sorted({n for _, n in places})
        span = "–".join(str(n) for n in dict.fromkeys(sizes[:1] + sizes[-1:]))
        means = [f"{100 * fmean(fmean(whole[place][kind]) for place in places):.0f}" for kind in kinds if places]
        line = [model, span, str(len(places)), *means]
        if places and line not in lines:
            lines.append(line)
    return lines
