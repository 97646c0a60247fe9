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
    model: Annotated[str, typer.Option(metavar="NAME", help="As for fit.", show_default=False)],
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
    quick: Annotated[bool, typer.Option("--quick", help="One world, few questions: a minute.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Tell tokens and hours, and do nothing.")] = False,
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

    if published and not worlds:
        worlds = suite.PUBLISHED
    given = {
        "worlds": worlds and tuple(f.names(worlds, "--worlds")),
        "conditions": conditions and tuple(f.names(conditions, "--conditions")),
    }
    if quick:
        given = {name: value or suite.QUICK[name] for name, value in given.items()}
    for flag, value, known in (("--scale", scale, ("small", "paper")), ("--names", names, ("nonsense", "plausible"))):
        if value not in known:
            raise UserError(f"{flag} {value}", hint=f"{' or '.join(known)}")
    asked = suite.Asked(
        model,
        **{name: value for name, value in given.items() if value},
        scale=scale,  # type: ignore[arg-type]
        names=names,  # type: ignore[arg-type]
        seeds=seeds,
        lr=lr,
        passes=passes,
        batch=batch,
        quick=quick,
        published=Path(published) if published else None,
    )
    if plan:
        tell_plan(asked, dtype, flags["json_"])
        return
    from fewfit.models import local

    tell = (lambda what: None) if flags["quiet"] else output.say
    folder = Path(out or "runs/generalization")
    loaded = local.load(model, dtype=dtype, tell=tell)
    rows = suite.run(asked, loaded, folder, tell)
    if flags["json_"]:
        output.line({"schema": SCHEMA, "rows": rows, "file": str(folder / suite.ROWS)})
        return
    show(rows)
    print(f"\nEvery row: {folder / suite.ROWS}")


def tell_plan(asked: Any, dtype: str, as_json: bool) -> None:
    from fewfit.cli.planning import amount
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
    print(
        f"\nAbout {made['hours']:.1f} hours on this machine ({made['device']}, {made['dtype']}, one process), and "
        f"{made['gpu_hours']:.2f} on a GPU of the H100's class (reckoned, not measured)."
    )


def show(rows: list[dict[str, Any]]) -> None:
    """Accuracy by condition, a column for each split of each world; then the paper's claims."""
    from fewfit.suites.generalization.pattern import Table, claims

    table = Table(rows)
    places = table.places(lambda world, split: True)
    for world in dict.fromkeys(world for world, _ in places):
        splits = [split for one, split in places if one == world]
        lines = []
        for condition in dict.fromkeys(row["condition"] for row in rows if row["world"] == world):
            found = [table.mean(world, split, condition) for split in splits]
            lines.append([condition, *("–" if one is None else str(one) for one in found)])
        chances = ["chance", *(f"{100 * table.chance(world, split):.0f}" for split in splits)]
        print_table([world, *splits], [*lines, chances])
        print()
    for claim in claims(rows):
        print(f"({claim.letter}) {claim.says}: {claim.holds}" + (f". {claim.figures}" if claim.figures else ""))
