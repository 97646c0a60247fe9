"""`fewfit augment`: what a model infers from documents or examples, as rows to train on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output

HOW = "How they are made"


@f.takes("quiet", "json_")
def augment(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Documents (rows of `text`), or prompts and answers.", show_default=False),
    ],
    out: Annotated[str, typer.Option(metavar="FILE", help="Where the rows go, as JSONL.", show_default=False)],
    model: Annotated[
        str,
        typer.Option("--with", metavar="MODEL", help="Who infers: a name or a folder, as for fit.", show_default=False),
    ],
    strategy: Annotated[
        str,
        typer.Option(
            metavar="local,global,document",
            help="local: each sentence or pair by itself; global: all as context, then one of them; document: a whole "
            "document by itself.",
        ),
    ] = "local",
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="An endpoint that has the model.", show_default="this machine")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", help="Requests at once, to an endpoint.", show_default="4")
    ] = None,
    max_calls: Annotated[
        int | None,
        typer.Option(metavar="N", help="Requests to an endpoint before it stops.", show_default="no limit"),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Tokens that an endpoint reads and writes before it stops.", show_default="no limit"
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Keep only what the model affirms when asked.")] = False,
    prompts: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Prompts of your own.", show_default="ours")
    ] = None,
    per: Annotated[
        int, typer.Option(metavar="N", help="The most inferences of a sentence, pair or document.", rich_help_panel=HOW)
    ] = 5,
    max_new_tokens: Annotated[
        int, typer.Option(metavar="N", help="Tokens written at a time.", rich_help_panel=HOW)
    ] = 96,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="0 takes the likeliest text, above it is drawn.", rich_help_panel=HOW)
    ] = 0.0,
    seed: Annotated[int, typer.Option(metavar="S", help="What is drawn.", rich_help_panel=HOW)] = 0,
    **flags: Any,
) -> None:
    """Write down what a model infers from your documents.

    Trained on documents alone a model cannot turn their facts round; trained on its own inferences, too, it can. Each
    row names its strategy and the ids of all that it was made from. Stopped, the same command goes on.
    """
    from fewfit.augment import augment as run

    def told(done: int, of: int, account: Any) -> None:
        output.say(f"{done} of {of} asked, {account.kept} kept")

    made = run(
        data,
        model,
        strategy=[part.strip() for part in strategy.split(",")],
        out=out,
        base_url=base_url,
        concurrency=concurrency,
        max_calls=max_calls,
        max_tokens=max_tokens,
        check=check,
        prompts=prompts,
        per=per,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        on_block=None if flags["quiet"] else told,
        tell=(lambda what: None) if flags["quiet"] else output.say,
    )
    if flags["json_"]:
        output.line(made.as_json())
        return
    show(made)


def show(made: Any) -> None:
    from rich.table import Table

    from fewfit.augment.inference import TOO_LONG

    table = Table(box=None, pad_edge=False)
    for name in ("strategy", "asked", "kept", "dropped", "tokens read", "written", "seconds"):
        table.add_column(name, justify="left" if name in ("strategy", "dropped") else "right")
    for name, one in made.accounts.items():
        dropped = ", ".join(f"{count} {reason}" for reason, count in one.dropped.most_common()) or "none"
        counts = (one.prompt_tokens, one.new_tokens) if one.tokens_told else ("not told",) * 2
        cells = (one.asked, one.kept, dropped, *counts, f"{one.seconds:.0f}")
        table.add_row(name, *(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells))
    output.console().print(table)
    before, after = made.before, made.after
    about = "about " if before.reckoned else ""
    beside = f"{after.rows:,} of {about}{after.tokens:,} beside them"
    print(f"{before.rows:,} rows of {about}{before.tokens:,} tokens, and {beside}")
    print(f"in {made.out}", flush=True)
    if not after.rows:
        tokens = "fewer" if any(one.dropped[TOO_LONG] for one in made.accounts.values()) else "more"
        remedy = f"a larger model, {tokens} --max-new-tokens or --prompts of your own may help"
        output.say(f"note: nothing was kept; {remedy}")
