"""What was remarked on, and all that is needed to run it again."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from fewfit.grid import Lane
from fewfit.report.evidence import Evidence
from fewfit.report.markup import Markup, data, table, tag
from fewfit.report.numbers import clock
from fewfit.report.page import section

OF_PLACES = ("out",)
RENDERED = ("instruction", "system", "template", "separator", "max_length", "max_new_tokens")


def warnings(run: Evidence) -> Markup:
    told = [run.says(one) for one in run.result.get("warnings", ())]
    notices = list(dict.fromkeys(run.record.get("notices", ())))
    if not run.with_text:  # why a row was left out is told by its text
        notices = [re.sub(r"(left out, first [^:]*):.*", r"\1", one, flags=re.DOTALL) for one in notices]
    return section(
        "warnings",
        "Notes and warnings",
        listed("On the result", told),
        listed("On the data and the model", notices),
        None if told or notices else tag("p", "None."),
    )


def listed(title: str, lines: list[str]) -> Any:
    return [tag("h3", title), tag("ul", [tag("li", one) for one in lines])] if lines else None


def repeat(run: Evidence) -> Markup:
    record, facts = run.record, []
    of = record["data"]
    facts.append(("Data", f"{run.data}: {of['n']} {run.what}, {fingerprint(of['digest'])}"))
    for part in ("documents", "test"):
        if record.get(part):
            facts.append((part.capitalize(), f"{record[part]['n']}, {fingerprint(record[part]['digest'])}"))
    for model in record["models"]:
        facts.append(("Model", model_line(model)))
    facts += [
        ("Scored by", record["metric"]),
        ("Chosen by", record.get("select", "")),
        ("Seeds", ", ".join(map(str, record["seeds"]))),
        ("Order", record["order"]),
        ("Lanes", f"{len(record['lanes'])}, {'racing' if record.get('race') else 'to the end, all of them'}"),
        ("Begun", record.get("created", "")),
        ("Took", clock(run.result.get("seconds"))),
        ("Versions", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())),
    ]
    return section(
        "repeat",
        "To repeat it",
        tag("p", "In Python, with what was asked:"),
        tag("pre", call(run)),
        rows("The run", facts),
        [rendering(model) for model in record["models"]] if run.with_text else None,
        tag(
            "p", "run.json has every setting with its source, and every lane with all its coordinates.", class_="quiet"
        ),
    )


def rows(caption: str, facts: list[tuple[str, Any]]) -> Markup:
    lines = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in facts]
    return table(caption, [tag("th", "what", scope="col"), tag("th", "value", scope="col")], lines)


def fingerprint(digest: str) -> str:
    kind, _, value = digest.rpartition(":")
    return f"{kind or 'sha256'} {value[:16]}…"


def model_line(model: dict[str, Any]) -> str:
    parts = [str(model["name"])]
    parts += [f"revision {model['revision']}"] if model.get("revision") else []
    parts += [f"at {model['base_url']}"] if model.get("base_url") else []
    parts += [str(model["dtype"])] if model.get("dtype") else []
    return f"{', '.join(parts)}, {fingerprint(model['digest'])}"


def rendering(model: dict[str, Any]) -> Markup:
    render = model["render"]
    facts: list[tuple[str, Any]] = [("chat template", f"{'on' if render['chat'] else 'off'}: {render['chat_reason']}")]
    facts += [(name.replace("_", " "), data(str(render[name]))) for name in RENDERED if render.get(name) is not None]
    return tag("details", tag("summary", f"How prompts are written for {model['name']}"), rows("Prompts", facts))


def spelled(lane: Lane) -> str:
    """As it would be typed: what differs from the defaults."""
    usual = {field.name: field.default for field in fields(Lane)}
    told = (f"{name}={value!r}" for name, value in asdict(lane).items() if value != usual[name])
    return f"fewfit.Lane({', '.join(told)})"


def call(run: Evidence) -> str:
    """`fewfit.fit(…)` with all that was given."""
    asked = run.record["asked"]
    given = {name: one["value"] for name, one in asked.items() if (one or {}).get("source") == "given"}
    if (preset := asked.get("preset")) and preset["value"] != "quick":
        given.setdefault("preset", preset["value"])
    if not run.with_text:
        given = {name: value for name, value in given.items() if name not in RENDERED}
        given |= {name: Path(given[name]).name for name in ("test", "probe") if isinstance(given.get(name), str)}
    words = [repr(run.documents or run.data)]
    if "grid" in given:
        words.append(f"grid=[{', '.join(map(spelled, run.coordinates.values()))}]")
    words += [f"{name}={value!r}" for name, value in given.items() if name not in (*OF_PLACES, "grid")]
    return f"fewfit.fit({', '.join(words)})"
