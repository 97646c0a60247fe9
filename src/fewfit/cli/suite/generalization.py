"""`fewfit suite generalization`: facts told by a prompt or by training, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.cli.suite.shown import SCHEMA, TRAINING, print_table


@f.takes("quiet", "json_")
def generalization(
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="As for fit; not needed for --write.", show_default=False)
    ] = None,
    worlds: Annotated[str | None, typer.Option(metavar="A,B", help="Which worlds.", show_default="all")] = None,
    conditions: Annotated[
        str | None, typer.Option(metavar="A,B", help="Ways of telling the model.", show_default="all")
    ] = None,
    scale: Annotated[str, typer.Option(metavar="small|paper", help="How much there is to learn.")] = "small",
    names: Annotated[str, typer.Option(metavar="nonsense|plausible", help="What things are called.")] = "nonsense",
    published: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="The reversal curse's own files (name_description): the world `published`."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Each with worlds of its own.")] = 1,
    lr: Annotated[float, typer.Option(metavar="RATE", help="Learning rate.", rich_help_panel=TRAINING)] = 1e-3,
    passes: Annotated[
        int, typer.Option(metavar="N", help="How often each document is trained on.", rich_help_panel=TRAINING)
    ] = 6,
    batch: Annotated[int, typer.Option(metavar="N", help="Documents an update.", rich_help_panel=TRAINING)] = 8,
    rank: Annotated[int, typer.Option(metavar="N", help="Of the adapter.", rich_help_panel=TRAINING)] = 8,
    quick: Annotated[bool, typer.Option("--quick", help="One world, few questions: a minute.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Tell tokens and hours, and do nothing.")] = False,
    write: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write the worlds' documents, questions and inferences, and do nothing else."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Finished cells are kept there.", show_default="runs/generalization"),
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="auto|float32|bfloat16", help="Numbers to compute in.")] = "auto",
    **flags: Any,
) -> None:
    """What does a model make of facts: told in its prompt, or by training (arXiv 2505.00661)?

    Worlds of made-up facts, questions that follow from them, and ways of telling the model, by its prompt and by
    training. Stopped, the same command goes on; what is there is not made again.
    """
    from fewfit.errors import UserError
    from fewfit.suites.generalization import suite

    if published and worlds is None:
        worlds = suite.PUBLISHED
    given = {
        flag: tuple(dict.fromkeys(f.names(text, f"--{flag}")))
        for flag, text in (("worlds", worlds), ("conditions", conditions))
        if text is not None
    }
    if quick:
        given = suite.QUICK | given
    for flag, value, known in (("--scale", scale, ("small", "paper")), ("--names", names, ("nonsense", "plausible"))):
        if value not in known:
            raise UserError(f"{flag} {value}", hint=f"{' or '.join(known)}")
    if model is None and not write:
        raise UserError("no model is named", hint="give --model NAME, or --write DIR for the worlds alone")
    if write and (plan or quick):
        raise UserError(f"--write and --{'plan' if plan else 'quick'}", hint="worlds are written whole")
    asked = suite.Asked(
        model or "",
        **given,
        scale=scale,  # type: ignore[arg-type]
        names=names,  # type: ignore[arg-type]
        seeds=seeds,
        lr=lr,
        passes=passes,
        batch=batch,
        rank=rank,
        quick=quick,
        published=Path(published) if published else None,
    )
    if plan:
        tell_plan(asked, dtype, flags["json_"])
        return
    if write:
        tell_written(asked, Path(write), flags["json_"])
        return
    from fewfit.models import local

    tell = (lambda what: None) if flags["quiet"] else output.say
    folder = Path(out or "runs/generalization")
    loaded = local.load(asked.model, dtype=dtype, tell=tell)
    rows = suite.run(asked, loaded, folder, tell)
    if flags["json_"]:
        output.line({"schema": SCHEMA, "rows": rows, "file": str(folder / suite.ROWS)})
        return
    show(rows)
    print(f"\nEvery row: {folder / suite.ROWS}")


def tell_plan(asked: Any, dtype: str, as_json: bool) -> None:
    from fewfit.cli.planning import amount
    from fewfit.report.numbers import clock
    from fewfit.suites.generalization.planning import planned

    made = planned(asked, dtype)
    if as_json:
        output.line({"schema": SCHEMA, **made})
        return
    names = ("world", "documents", "questions", "trained_tokens", "read_tokens", "written_tokens", "hours", "gpu_hours")
    print_table(
        [name.replace("_", " ") for name in names],
        [[one[name] if isinstance(one[name], str) else amount(one[name]) for name in names] for one in made["rows"]],
    )
    step = f"{1000 * made['gpu_step_seconds']:.1f} ms a step of {made['written_together']} texts, a token each"
    print(
        f"\nAbout {clock(3600 * made['hours'])} on this machine ({made['device']}, {made['dtype']}, one process), and "
        f"{clock(3600 * made['gpu_hours'])} on a GPU of the H100's class (reckoned, not measured: writing is taken to "
        f"wait for memory and calls, {step})."
    )


def tell_written(asked: Any, folder: Path, as_json: bool) -> None:
    from fewfit.suites.generalization.files import write_worlds

    made = write_worlds(asked, folder)
    if as_json:
        output.line({"schema": SCHEMA, "worlds": made})
        return
    names = ("folder", "documents", "questions", "inferences", "facts")
    print_table(list(names), [[str(one[name]) for name in names] for one in made])


def show(rows: list[dict[str, Any]]) -> None:
    """Accuracy by condition, a column for each split of each world; then the paper's claims."""
    from fewfit.suites.generalization.pattern import Table, claims

    table = Table(rows)
    for world in dict.fromkeys(row["world"] for row in rows):
        splits = list(dict.fromkeys(row["split"] for row in rows if row["world"] == world))
        lines = []
        for condition in dict.fromkeys(row["condition"] for row in rows if row["world"] == world):
            found = [table.mean(world, split, condition) for split in splits]
            lost = any((row["world"], row["condition"], row["accuracy"]) == (world, condition, None) for row in rows)
            lines.append([condition, *(("diverged" if lost else "–") if one is None else str(one) for one in found)])
        chance = {row["split"]: row["chance"] for row in rows if row["world"] == world}
        chances = ["chance", *(f"{100 * chance[split]:.0f}" for split in splits)]
        print_table([world, *splits], [*lines, chances])
        print()
    if said := inferred(rows):
        print_table(
            ["the model's inferences", "kept", "true", "false", "not read", "true of those read", "of all"], said
        )
        print()
    for claim in claims(rows):
        print(f"({claim.letter}) {claim.says}: {claim.holds}" + (f". {claim.figures}" if claim.figures else ""))


def inferred(rows: list[dict[str, Any]]) -> list[list[str]]:
    """How true they are: of what could be read, and at least."""
    lines = {}
    for row in rows:
        for part, one in row["inferences"].items():
            if "unread" in one:
                true, false, unread = (one[name] for name in ("true", "false", "unread"))
                shares = (f"{100 * true / n:.0f}" if n else "–" for n in (true + false, true + false + unread))
                counts = (one["kept"], true, false, unread)
                lines[row["world"], row["seed"], part] = [
                    f"{row['world']} {row['seed']}, {part}",
                    *map(str, counts),
                    *shares,
                ]
    return list(lines.values())
