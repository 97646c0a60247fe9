"""What stands at the end of a run: the table, the score to expect, the verdict, where it lies, what to do next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewfit.cli import output
from fewfit.cli.flags import ENDPOINTS, ESCAPED, FLAGS, LANES, MODELS, PROMPTS, ROWS, SCORES, spelled
from fewfit.grid import KINDS, PRESETS, short
from fewfit.metrics.patterns import shortened
from fewfit.report.costs import cost_line
from fewfit.report.numbers import clock, points, span
from fewfit.report.page import REPORT
from fewfit.settings import DEFAULTS

MOST_ROWS = 20
MOST_LABELS = 6
WIDE = 100  # columns; below it shots, rates and updates are left to the lanes' names, and the stream's mean goes


def closing(result: dict[str, Any], folder: Path, *, next_steps: bool = True) -> None:
    console = output.console()
    console.print(lanes_table(result, wide=console.width >= WIDE))
    console.print()
    console.print(legend(result), markup=False, style="dim")
    if result["test"]:
        console.print()
        console.print(test_table(result))
        if result.get("labels"):
            console.print(label_line(result["labels"]), markup=False)
    console.print()
    console.print(result["verdict"], style="bold", markup=False)
    if told := cost_line(result):
        console.print(told, markup=False)
    for warning in result.get("warnings", ()):
        console.print(f"Note: {warning}.", markup=False)
    console.print()
    lies = f"The run lies in {folder} ({clock(result['seconds'])})"
    lies += ", and report.html in it shows it all." if (folder / REPORT).exists() else "."
    console.print(f"{lies} Next:" if next_steps else lies, markup=False)
    for command in next_commands(result, folder) if next_steps else ():
        console.print(f"  {command}", markup=False, soft_wrap=True)


def lanes_table(result: dict[str, Any], *, wide: bool) -> Any:
    """Every lane by its kind, the best marked; of many lanes the best few of every kind."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("kind", no_wrap=True, min_width=9)
    table.add_column("lane", no_wrap=True, overflow="ellipsis")  # the one that gives way
    for name in ("shots", "lr", "updates") if wide else ():
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for name in ("n", "score", "95%", "stream", "nll") if wide else ("score", "95%", "nll"):
        table.add_column(name, justify="right", no_wrap=True, min_width=max(len(name), 4))
    table.add_column("status", no_wrap=True, min_width=8)
    blank = [""] * (3 if wide else 0)
    for kind, lanes, left_out in grouped(result["lanes"], result["best"]):
        for place, lane in enumerate(lanes):
            settings = [
                str(lane["shots"]),
                short(lane["lr"]) if lane["lr"] else "–",
                str(lane["updates"]) if lane["updates"] else "–",
            ]
            best = lane["name"] == result["best"]
            table.add_row(
                "▶" if best else "",
                kind if place == 0 else "",
                lane["name"],
                *(settings if wide else ()),
                *([str(lane["n"])] if wide else ()),
                points(lane["score"]) or "–",
                span(lane["interval"]) if lane.get("interval") else "–",
                *([points(lane["prequential"]) or "–"] if wide else ()),
                f"{lane['nll']:.2f}" if lane["nll"] is not None else "–",
                lane["status"],
                style="bold" if best else None,
            )
        if left_out:
            table.add_row("", "", f"and {left_out} more in result.json", style="dim")
    if result["majority"] is not None:
        share = points(result["majority"])
        cells = [*blank, "", share, "", share] if wide else [share, ""]
        always = "guessing" if result.get("majority_answer", "") is None else "always the commonest answer"
        table.add_row("", "majority", always, *cells, "", "", style="dim")
    return table


def grouped(lanes: Sequence[dict[str, Any]], best: str) -> list[tuple[str, list[dict[str, Any]], int]]:
    out: list[tuple[str, list[dict[str, Any]], int]] = []
    for kind in KINDS:
        mine = [lane for lane in lanes if lane["kind"] == kind]
        few = len(mine)
        if len(lanes) > MOST_ROWS:
            mine.sort(key=lambda lane: (lane["name"] != best, -(lane["score"] if lane["score"] is not None else -1.0)))
            few = min(few, MOST_ROWS // len(KINDS))
        if mine:
            out.append((kind, mine[:few], len(mine) - few))
    return out


def legend(result: dict[str, Any]) -> str:
    """What the columns are."""
    among = f" for the choice among {len(result['lanes'])} lanes" if len(result["lanes"]) > 1 else ""
    return (
        f"score: of 100 on new data, by {result['metric']}, as the lane would be delivered, with its interval (the "
        f"recommended lane's is corrected{among}); stream: the plain mean over all it predicted; nll: nats an answer."
    )


def test_table(result: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold", title_justify="left")
    for name in ("", "kind", "lane"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("n", "test score", "95% interval"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for row in result["test"]:
        best = row["name"] == result["best"]
        table.add_row(
            "▶" if best else "", row["kind"], row["name"], str(row["n"]), points(row["score"]), span(row["interval"]),
            style="bold" if best else None,
        )  # fmt: skip
    return table


def label_line(labels: dict[str, dict[str, float]]) -> str:
    ours, theirs = labels["examples"], labels["test"]
    few = list(ours)[:MOST_LABELS]
    more = f" and {len(ours) - len(few)} more" if len(ours) > len(few) else ""
    told = ", ".join(f"{shortened(name)} {points(ours[name])} and {points(theirs[name])}" for name in few)
    return f"Labels of 100 examples, and of 100 of the test: {told}{more}."


def next_commands(result: dict[str, Any], folder: Path) -> list[str]:
    """Use it, look at what the model saw, and make the evidence better where it is thin."""
    from fewfit.run import folders

    run = shlex.quote(str(folder))
    record = folders.record(folder)
    many = f"fewfit predict {run} --in prompts.jsonl --out answers.jsonl"
    if result["metric"] == "choice" and record["data"].get("choices", ()) is None:  # each prompt brings its own
        return [many]
    if record.get("documents"):
        return [f'fewfit predict {run} "PROMPT"', many]
    commands = [
        f'fewfit predict {run} "PROMPT"',
        f"fewfit inspect {run} --lane {shlex.quote(result['best'])} --at {max(lane['n'] for lane in result['lanes'])}",
    ]
    return [*commands, third_command(result, folder, run)]


def third_command(result: dict[str, Any], folder: Path, run: str) -> str:
    from fewfit.run import folders

    record = folders.record(folder)
    data = record["data"]["path"]
    asked = {name: one["value"] for name, one in record["asked"].items() if (one or {}).get("source") == "given"}
    model = asked.get("model")
    more: dict[str, Any] = {}
    if not result["settled"] and len(record["seeds"]) == 1 and not record.get("shots"):  # chosen in one order
        more = {"seeds": 3}
    elif asked.get("preset", "quick") == "quick" and any(asked.get(name) is None for name in PRESETS["thorough"]):
        more = {"preset": "thorough"}  # where all that it sets is given, its grid is this one
    given = given_flags({**asked, **more})
    if data is not None and isinstance(model, str) and not model.startswith("<") and more and given is not None:
        return f"fewfit fit {shlex.quote(short_path(data))} --model {shlex.quote(model)}{given}"
    return f"fewfit predict {run} --in prompts.jsonl --out answers.jsonl"


def given_flags(asked: dict[str, Any]) -> str | None:
    """All that was given, as it would be typed: without it the next command would run on another reading of the data,
    or other lanes. None where it cannot be typed (a function, rows in a list, what only Python takes)."""
    if any(asked.get(name) is not None for name in DEFAULTS if name not in FLAGS):
        return None
    words = []
    for name in (*MODELS, *ENDPOINTS, *LANES, *SCORES, *PROMPTS, *ROWS, "final"):
        value = asked.get(name)
        if name == "model" or value is None or value in (DEFAULTS[name], [], {}):
            continue
        texts = typed(name, value)
        if texts is None:
            return None
        flag = "--no-race" if name == "race" and not value else spelled(name)
        words += [f" {flag} {shlex.quote(text)}" for text in texts] if not isinstance(value, bool) else [f" {flag}"]
    return "".join(words)


def typed(name: str, value: Any) -> list[str] | None:
    """What stands behind the flag, once for each time that it is written."""
    if name == "chat_template_kwargs":
        return [json.dumps(value)]
    if isinstance(value, dict):
        value = [f"{key}={meaning}" for key, meaning in value.items()]
    several = value if isinstance(value, list) else [value]
    texts = [str(one).replace("\n", "\\n") if name in ESCAPED else str(one) for one in several]
    if any(not isinstance(one, str | int | float) or text.startswith("<") for one, text in zip(several, texts)):
        return None
    if name == "answer_pattern" or not isinstance(value, list):
        return texts
    return None if any("," in text for text in texts) else [",".join(texts)]


def short_path(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
