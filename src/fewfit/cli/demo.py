"""`fewfit demo`: the bundled tasks on the bundled model, start to finish, and what they say together.

make demo
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.errors import UserError

BUDGET = 70.0  # seconds a task: all of it stays below five minutes on two cores
SPOKEN = {
    "zero-shot": "zero-shot",
    "icl": "in-context learning",
    "ft": "tuning",
    "icl+ft": "tuning with demonstrations",
}


@f.takes("quiet", "json_")
def demo(
    model: Annotated[str, typer.Option(metavar="NAME|FOLDER", help="Another model.")] = "lab",
    budget: Annotated[str, typer.Option(metavar="70s", help="Time for the lanes of each task.")] = f"{BUDGET:.0f}s",
    **flags: Any,
) -> None:
    """Three small tasks on the bundled model, in a few minutes.

    Which kind wins is different each time, and a file of unseen examples says whether it is so.
    """
    f.duration(budget, "--budget")
    tasks = bundled_tasks()
    from fewfit.models import local

    local.resolve(model, None, weights=True)  # what is not there is told before anything begins
    results = []
    began = time.monotonic()
    for number, (name, train, test) in enumerate(tasks, start=1):
        if not flags["quiet"]:
            output.say(f"\n{number} of {len(tasks)}: {name}")
        results.append((name, one_task(name, train, test, model, budget, flags)))
    if flags["json_"]:
        output.line({"schema": output.SCHEMA, "verdict": together(results), "runs": dict(results)})
        return
    print(f"\n{together(results)}\nYour own examples: fewfit fit DATA --model {model}")
    output.say(f"all of it took {time.monotonic() - began:.0f} s")


def bundled_tasks() -> list[tuple[str, Path, Path]]:
    """(name, examples, unseen examples) of every pair of files beside this package."""
    folder = Path(str(files("fewfit"))) / "demo" / "data"
    found = []
    for test in sorted(folder.glob("*-test.jsonl")):
        name = test.name.removesuffix("-test.jsonl")
        found.append((name, folder / f"{name}.jsonl", test))
    if not found:
        raise UserError(
            "this installation holds no example files for the demo", mend="install fewfit again, or try fewfit fit DATA"
        )
    return found


def one_task(name: str, train: Path, test: Path, model: str, budget: str, flags: dict[str, Any]) -> dict[str, Any]:
    from fewfit.cli.closing import closing
    from fewfit.cli.table import table

    with table(quiet=flags["quiet"]) as watch:
        from fewfit import api

        run = api.fit(str(train), model=model, test=str(test), budget=budget, out=folder_for(name), watch=watch)
    if not flags["json_"]:
        closing(run.result, run.folder, next_steps=False)
    return {key: value for key, value in run.result.items() if key != "warnings"}


def folder_for(name: str) -> Path:
    """Under runs/ here, as any run; elsewhere where this folder is not ours to write to."""
    leaf = f"demo-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    here = Path("runs") if Path("runs").is_dir() else Path()
    if os.access(here, os.W_OK):
        return Path("runs") / leaf
    return Path(tempfile.mkdtemp(prefix="fewfit-")) / leaf


# ---- in words --------------------------------------------------------------------------------------------------------


def together(results: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Which kind was chosen for which task, and whether the unseen examples bear it out."""
    lines = [f"- {name}: {sentence(result)}" for name, result in results]
    winners = {kind_of_best(result) for _, result in results}
    borne = sum(bears_out(result) for _, result in results)
    if len(winners) == 1:
        lead = f"One kind was best for every task: {SPOKEN[winners.pop()]}."
    else:
        lead = f"Prompt or tune? {len(results)} tasks, {len(winners)} answers:"
    end = (
        f"Examples that no lane had seen bear out {borne} of {len(results)}: the score is what was said, as far as "
        "intervals tell, and no other kind is surely better."
    )
    return "\n".join([lead, *lines, end])


def kind_of_best(result: dict[str, Any]) -> str:
    return str(next(lane["kind"] for lane in result["lanes"] if lane["name"] == result["best"]))


def sentence(result: dict[str, Any]) -> str:
    kind = SPOKEN[kind_of_best(result)]
    low, high = (round(100 * value) for value in result["interval"])
    said = f"{kind} ({result['best']}), expected to score {100 * result['score']:.0f} ({low} to {high})"
    mine, others = judged(result)
    if mine is None:
        return f"{said}."
    said += f"; it scores {100 * mine['score']:.0f} on {mine['n']} unseen examples"
    if not others:
        return f"{said}."
    beside = ", ".join(f"{other['kind']} {100 * other['score']:.0f}" for other in others)
    return f"{said}, beside {beside}."


def judged(result: dict[str, Any]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    rows = result["test"] or []
    mine = next((row for row in rows if row["name"] == result["best"]), None)
    return mine, [row for row in rows if row["name"] != result["best"]]


def bears_out(result: dict[str, Any]) -> bool:
    """The interval that was given meets the test's own, and no other kind is surely better there."""
    mine, others = judged(result)
    if mine is None:
        return False
    meets = mine["interval"][0] <= result["interval"][1] and mine["interval"][1] >= result["interval"][0]
    return meets and all(other["interval"][0] <= mine["interval"][1] for other in others)
