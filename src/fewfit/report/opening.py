"""The first screen: the verdict, the winner and what to expect of it, the best of each kind, what to do next."""

from __future__ import annotations

import shlex
from typing import Any

from fewfit.report.evidence import Evidence
from fewfit.report.figure import Chart, figure, hundredths, kind_class
from fewfit.report.markup import Markup, data, tag
from fewfit.report.numbers import points, span
from fewfit.select.verdict import MANY, roughly

ROW = 34


def opening(run: Evidence) -> Markup:
    result = run.result
    return tag(
        "header",
        tag("h1", heading(run)),
        tag("p", run.says(result["verdict"]), class_="verdict"),
        tag("div", winner(run), best_of_each_kind(run), class_="cards"),
        next_steps(run),
        id="verdict",
    )


def heading(run: Evidence) -> str:
    return f"{run.record['data']['source']}: {run.record['data']['n']} {run.what} on {run.models}"


def winner(run: Evidence) -> Markup:
    result = run.result
    facts = [f"95% range {span(result['interval'])}", f"by {result['metric']}"]
    if len(run.lanes) > 1:
        facts.append(f"corrected for the choice among {len(run.lanes)} lanes")
    told = [tag("p", "of 100 on new data; ", "; ".join(facts), ".", class_="quiet")]
    if result["majority"] is not None:
        told.append(tag("p", f"{points(result['majority'])}: ", always(run), ".", class_="quiet"))
    for row in result["test"] or ():
        if row["name"] == result["best"]:
            text = f"{points(row['score'])} ({span(row['interval'])}) on {row['n']} test examples that no lane saw."
            told.append(tag("p", tag("strong", text)))
    return tag(
        "section",
        tag("h2", "Nothing is shown to work; the cheapest" if result.get("nothing_learnt") else "Recommended"),
        tag("div", result["best"], class_="winner"),
        tag("div", points(result["score"]), class_="score"),
        told,
        class_="card",
        aria_label="Recommended",
    )


def always(run: Evidence) -> Any:
    answer = run.result.get("majority_answer")
    if answer is None:
        return "guessing among the options"
    if not run.with_text and run.labels is None:
        return "always giving the commonest answer"
    return ["always answering ", data(answer, most=40)]


def best_of_each_kind(run: Evidence) -> Markup:
    result, lanes = run.result, [run.lanes[name] for name in run.best_of_kind.values()]
    tests = {row["name"]: row for row in result["test"] or ()}
    chart = Chart((0.0, 0.5 - len(lanes)), (1.0, 0.5), height=56 + ROW * len(lanes), width=460, left=88)
    chart.x_axis(hundredths(), "score of 100 on new data, and its 95% interval")
    chart.y_rows([lane["kind"] for lane in lanes])
    if result["majority"] is not None:
        chart.stroke((result["majority"], 0.5), (result["majority"], 0.5 - len(lanes)), "majority")
    told = []
    for k, lane in enumerate(lanes):
        colour, score = kind_class(lane["kind"]), lane["score"]
        name = f"{lane['name']}: {points(score)} ({span(lane['interval'])})"
        chart.stroke((lane["interval"][0], -k), (lane["interval"][1], -k), f"whisker {colour}", name)
        chart.dot(score, -k, colour, name, 7 if lane["name"] == result["best"] else 5)
        if lane["name"] in tests:
            chart.dot(tests[lane["name"]]["score"], -k - 0.28, f"test {colour}", "test examples", 4)
            name += f", {points(tests[lane['name']]['score'])} on the test examples"
        told.append(name)
    caption = "Filled: estimated from the stream" + ("; hollow: on the test file." if tests else ".")
    if result["majority"] is not None:
        caption += " Dashed: knowing the labels alone."
    return tag(
        "section",
        tag("h2", "The best of each kind"),
        figure(chart, "The best lane of each kind. " + ". ".join(told), caption),
        class_="card",
        aria_label="The best of each kind",
    )


def next_steps(run: Evidence) -> Markup:
    steps = [[text, *(tag("pre", command) for command in commands)] for text, commands in advice(run)]
    return tag("section", tag("h2", "What to do next"), tag("ol", [tag("li", one) for one in steps]))


def advice(run: Evidence) -> list[tuple[str, list[str]]]:
    """What to do, and the commands that do it."""
    result, folder = run.result, shlex.quote(run.place)
    predict = [f"fewfit predict {folder} --in prompts.jsonl --out answers.jsonl"]
    if run.labels is not None or result["metric"] != "choice":  # else each prompt brings its own options
        predict.insert(0, f'fewfit predict {folder} "PROMPT"')
    out: list[tuple[str, list[str]]] = [("Use it.", predict)]
    if result.get("nothing_learnt"):
        out = [("Serve none of these yet. Try another model, a clearer instruction or more examples.", [])]
    if not result["settled"] and not result.get("nothing_learnt") and len(run.best_of_kind) > 1:
        out.append((settling(run), []))
    if result.get("rising"):
        out.append((f"Gather more examples in any case: {result['best']} was still rising at the end.", []))
    if not run.is_flat:
        last = max(lane["n"] for lane in result["lanes"])
        look = f"fewfit inspect {folder} --lane {shlex.quote(result['best'])} --at {last}"
        out.append(("See a prompt as the model saw it.", [look]))
    return out


def settling(run: Evidence) -> str:
    needed = [each["more"] for each in run.result.get("comparisons", ()) if each["more"] and involves(run, each)]
    if not needed or min(needed) > MANY:
        return "More examples would hardly settle it: the rivals are too close. Take what is cheapest to serve."
    orders = " Several seeds (--seeds 3) make it surer, too." if len(run.record["seeds"]) == 1 else ""
    return (
        f"To be surer of the choice: some {roughly(min(needed))} more {run.what} would likely show the clearest of the "
        f"differences, if it is as large as it looks.{orders}"
    )


def involves(run: Evidence, comparison: dict[str, Any]) -> bool:
    return run.result["best"] in (comparison["lane"], comparison["other_lane"])
