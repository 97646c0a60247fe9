"""`fewfit inspect`: a sequence as the model sees it, with its loss mask, of a data file or of any step of a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.errors import UserError

SHOTS = 4


@f.takes(*(name for name in f.MODELS if name not in ("device", "dtype", "quantize")), "loss", "metric", "choices",
         *f.PROMPTS, *f.ROWS, "json_")  # fmt: skip
def inspect(
    target: Annotated[
        str, typer.Argument(metavar="DATA|RUN", help="A data file (with --model), or a run.", show_default=False)
    ],
    lane: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a run: which lane.", show_default="the best one")
    ] = None,
    at: Annotated[
        int | None, typer.Option(metavar="I", help="Which example of the stream, from 1.", show_default="the last one")
    ] = None,
    update: Annotated[
        int | None, typer.Option(metavar="U", help="Of a run: what update U trained on.", show_default="the prediction")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Which order of the examples.")] = 0,
    shots: Annotated[
        int | None, typer.Option(metavar="K", help="Of a data file: demonstrations.", show_default=str(SHOTS))
    ] = None,
    **flags: Any,
) -> None:
    """Show a prompt and its mask, as the model sees it.

    The loss falls on the marked tokens. With a data file, how its examples would be rendered; with a run, what a lane
    saw.
    """
    if shots is not None and shots < 0:
        raise UserError(f"--shots {shots}", hint="give 0 or more")
    if target == "last" or Path(target).is_dir():
        if shots is not None:
            raise UserError("--shots belongs to a data file", hint="a run's lane has its own: name it with --lane")
        there = (
            name for name, value in flags.items() if value not in (f.FLAGS[name].default(name), []) and name != "json_"
        )
        if given := next(there, None):
            raise UserError(f"{f.spelled(given)} belongs to a data file", hint="leave it out: a run has its own")
        seen = of_run(target, lane, at, update, seed)
    else:
        if lane is not None or update is not None:
            given = "--lane" if lane is not None else "--update"
            raise UserError(f"{given} belongs to a run", where=target, hint="give --shots, or name a run's folder")
        seen = of_data(target, at, seed, SHOTS if shots is None else shots, f.values(flags))
    rendered, spans, tokenizer, notices = seen
    from fewfit.cli.show import as_json, show

    if flags["json_"]:
        output.line(as_json(rendered, spans))
        return
    from fewfit.render import Loss

    for notice in notices:
        output.say(f"note: {notice}")
    if not spans:
        output.say("note: this lane trains on nothing here; the marked answer is the one that it was scored on")
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    loss: Loss = "every-answer" if len(spans) > 1 else "last-answer"
    print(show(rendered, tokenizer, color=color, loss=loss).rstrip("\n"))


def of_run(name: str, lane: str | None, at: int | None, update: int | None, seed: int) -> Any:
    from fewfit.run import folders
    from fewfit.run.inspection import sequence

    folder = folders.find(name)
    record = folders.record(folder)
    if lane is None:
        if not (folder / folders.RESULT).exists():
            hint = f"name a lane with --lane, or go on with: fewfit resume {folder}"
            raise UserError("the run is not done, so there is no best lane to show", where=str(folder), hint=hint)
        lane = folders.result(folder)["best"]
    n = record["data"]["n"]
    at = n if at is None else at
    check(at, n, "--at")
    if seed not in record["seeds"]:
        raise UserError(f"--seed {seed}", where=str(folder), hint=f"the run's seeds: {record['seeds']}")
    when = "as predicted" if update is None else f"update {update}"
    return (*sequence(folder, lane, at, update, seed), (f"{lane}, seed {seed}, example {at} of {n}, {when}",))


def check(at: int, n: int, flag: str) -> None:
    if not 1 <= at <= n:
        raise UserError(f"{flag} {at}", hint=f"give a number from 1 to {n}, the number of examples")


def of_data(data: str, at: int | None, seed: int, shots: int, settings: dict[str, Any]) -> Any:
    """The i-th example of the stream as a lane of so many shots would see it."""
    from fewfit.engine.task import Task
    from fewfit.examples import load
    from fewfit.metrics import auto, metric
    from fewfit.models.local import load_config_and_tokenizer
    from fewfit.run.prepare import render_with
    from fewfit.settings import READING, Settings

    asked = Settings(**settings)
    if asked.several_models:
        raise UserError("--model is given more than once", hint="look at one at a time")
    dataset = load(data, **{name: getattr(asked, name) for name in READING})
    if dataset.are_documents:
        raise UserError("documents have no prompts to show", where=data, hint="look at the questions: inspect PROBE")
    judge = metric(auto(dataset) if asked.metric == "auto" else asked.metric)
    config, tokenizer = load_config_and_tokenizer(asked.model, asked.revision)
    renderer = render_with(tokenizer, config, dataset, judge.needs, asked)
    task = Task(dataset.examples, renderer, judge, order=asked.order)
    at = len(task) if at is None else at
    check(at, len(task), "--at")
    rendered = task.render(seed, at, 1, shots, at)
    spans = rendered.spans[-1:] if asked.loss == "last-answer" else rendered.spans
    return rendered, spans, tokenizer, (*dataset.notices, *renderer.notices)
