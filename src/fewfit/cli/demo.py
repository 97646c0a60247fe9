"""`fewfit demo`: three small tasks on a small model, start to finish, and which way of adapting it won on each.

make demo

The grid is fixed, so that the result is the same each time on a machine.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.errors import UserError

REAL, TOY = "smollm2", "lab"
SPOKEN = {
    "zero-shot": "the instruction alone",
    "icl": "examples in the prompt",
    "ft": "fine-tuning",
    "icl+ft": "fine-tuning with examples in the prompt",
}
WITHOUT_INSTRUCTION = SPOKEN | {"zero-shot": "the bare question"}


@dataclass(frozen=True)
class Task:
    """`name` is that of its two files; `about` says it to a newcomer; `instruction` says it to the model."""

    name: str
    about: str
    instruction: str | None = None


@dataclass(frozen=True)
class Course:
    """The tasks that suit a model, and the one grid that all of them are run on."""

    folder: tuple[str, ...]  # under demo/data
    tasks: tuple[Task, ...]
    grid: dict[str, Any]


ENGLISH = Course(
    ("english",),
    (
        Task("past-tense", "put a verb into the past tense", "Write the past tense of the verb."),
        Task(
            "support",
            "send a customer's message to the department that should answer it",
            "Which department should answer this message: billing, technical, shipping or account?",
        ),
        Task("animal", "find the animal among three words", "Which of the three words is an animal?"),
    ),
    # The plain template: a small chat model takes a demonstration for a pattern to continue rather than for small talk.
    {"shots": (4,), "lr": (1e-3,), "updates": (2,), "chat": "off"},
)
LAB = Course(
    (),  # where `python -m lab.tasks` writes them
    (
        Task("facts", "answer with the relation turned round, in a made-up language"),
        Task("kinds", "sort things by kind, under labels that mean nothing"),
        Task("rotate", "move the first word to the end, in a made-up language"),
    ),
    {"shots": (4, 8), "lr": (1e-3,), "updates": (5,)},
)


@f.takes("quiet", "json_")
def demo(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help=f"Another model.  [default: {REAL} where it is installed, else {TOY}]",
            show_default=False,
        ),
    ] = None,
    **flags: Any,
) -> None:
    """Three small tasks on a small model, in a few minutes.

    A file of unseen examples says whether the answer was right.
    """
    if model is None:
        model = default_model()
    from fewfit.models import local

    course = course_for(model)
    pairs = [data_files(course, task) for task in course.tasks]
    local.resolve(model, None, weights=True)  # what is not there is told before anything begins
    results = []
    began = time.monotonic()
    for number, (task, (train, test)) in enumerate(zip(course.tasks, pairs, strict=True), start=1):
        if not flags["quiet"]:
            output.say(f"\n{number} of {len(pairs)}: {task.about}. For example\n{example_of(train)}")
        results.append((task, one_task(task, train, test, model, course.grid, flags)))
    if flags["json_"]:
        runs = {task.name: result for task, result in results}
        output.line({"schema": output.SCHEMA, "verdict": together(results), "runs": runs})
        return
    print(f"\n{together(results)}\nYour own examples: fewfit fit DATA --model {model}")
    output.say(f"all of it took {time.monotonic() - began:.0f} s")


def default_model() -> str:
    """The real model where its weights are, else the toy; the latter is said, with what to do about it."""
    from fewfit.errors import FewfitError
    from fewfit.models import installed, local

    real = installed.find(REAL)
    if real is not None and real.gguf is not None and installed.parts(real.gguf) is not None:
        try:
            local.resolve(REAL, None, weights=True)
            return REAL
        except FewfitError as problem:
            output.say(f"fewfit: {problem}")
    install = real.install if real is not None else "fewfit models"
    output.say(
        f"fewfit: {REAL}, a real model of English, is not installed, so the demo runs on {TOY}, a toy that knows a "
        f"made-up language only. To install it: {install}"
    )
    return TOY


def course_for(model: str) -> Course:
    from fewfit.models import installed

    return LAB if model in installed.BUNDLED else ENGLISH


def data_files(course: Course, task: Task) -> tuple[Path, Path]:
    """The examples, and the unseen ones that judge what came of them."""
    folder = Path(str(files("fewfit"))).joinpath("demo", "data", *course.folder)
    train, test = folder / f"{task.name}.jsonl", folder / f"{task.name}-test.jsonl"
    for path in (train, test):
        if not path.is_file():
            raise UserError(
                "this installation lacks the demo's example files",
                where=path.name,
                hint="install fewfit again, or try fewfit fit DATA",
            )
    return train, test


def example_of(train: Path) -> str:
    """`walk → walked`: the file's first row."""
    with train.open(encoding="utf-8") as lines:
        row = json.loads(next(lines))
    prompt, answer = (row["text"], row["label"]) if "text" in row else (row["prompt"], row["completion"])
    return f"  {prompt} → {answer}"


def one_task(task: Task, train: Path, test: Path, model: str, grid: dict[str, Any], flags: dict[str, Any]) -> Any:
    from fewfit.cli.closing import closing
    from fewfit.cli.table import table

    with table(quiet=flags["quiet"]) as watch:
        from fewfit import api

        run = api.fit(
            str(train),
            model=model,
            test=str(test),
            instruction=task.instruction,
            out=folder_for(task.name),
            watch=watch,
            **grid,
        )
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


def together(results: Sequence[tuple[Task, dict[str, Any]]]) -> str:
    """Which way of adapting won on which task, by how much, how sure, and whether unseen examples bear it out."""
    winners = {kind_of_best(result) for _, result in results}
    lead = "Prompt, fine-tune or both?"
    if len(winners) == 1:
        lead += f" Here one way was best on all {len(results)} tasks:"
    else:
        lead += f" {len(results)} tasks, {len(winners)} answers:"
    told = [f"\n{task.name}: {sentence(task, result)}" for task, result in results]
    return "\n".join([lead, *told, ""])


def sentence(task: Task, result: dict[str, Any]) -> str:
    spoken = SPOKEN if task.instruction else WITHOUT_INSTRUCTION
    low, high = (round(100 * value) for value in result["interval"])
    lines = [
        f"{spoken[kind_of_best(result)]} won ({result['best']}): on new examples expect "
        f"{100 * result['score']:.0f} of 100 right ({low} to {high})."
    ]
    lines += filter(None, (margin(result, spoken), unseen(result, spoken)))
    return "\n  ".join(lines)


def kind_of_best(result: dict[str, Any]) -> str:
    return str(next(lane["kind"] for lane in result["lanes"] if lane["name"] == result["best"]))


def margin(result: dict[str, Any], spoken: dict[str, str]) -> str | None:
    """How far the next best kind is behind, as the selection that chose says it."""
    from fewfit.select.records import Comparison, turned

    mine = kind_of_best(result)
    each = [Comparison(**one) for one in result["comparisons"]]
    some = [
        one for one in each if mine in (one.this, one.other) and {one.this, one.other} <= set(result["best_of_kind"])
    ]
    others = [one if one.this == mine else turned(one) for one in some]
    if not others:
        return None
    next_best = min(others, key=lambda each: each.difference)
    low, high = (round(100 * value) for value in next_best.interval)
    sure = {
        "better": "more than chance would explain",
        "worse": "by more than chance, so far",
    }.get(next_best.says, f"which may be chance: {result['n']} examples cannot tell")
    points = round(100 * next_best.difference)
    if points < 0:  # what is recommended may be cheaper to serve
        points, low, high = -points, -high, -low
        behind = f"{points} point{'s' * (points != 1)} ahead"
    else:
        behind = f"{points} point{'s' * (points != 1)} behind" if points else "level with it"
    return f"Next best: {spoken[next_best.other]}, {behind} ({low} to {high}), {sure}."


def unseen(result: dict[str, Any], spoken: dict[str, str]) -> str | None:
    mine, others = judged(result)
    if mine is None:
        return None
    said = f"{mine['n']} unseen examples {'bear this out' if bears_out(result) else 'do not bear this out'}: "
    said += f"{100 * mine['score']:.0f} right"
    beside = "; ".join(f"{spoken[other['kind']]} {100 * other['score']:.0f}" for other in others)
    return f"{said} ({beside})." if others else f"{said}."


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
