"""Options that several suites share, and what they say of budgets."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli.suite.shown import TRAINING
from fewfit.errors import UserError

Models = Annotated[
    list[str], typer.Option("--model", metavar="NAME", help="As for fit; several are run one after another.",
                            show_default=False)
]  # fmt: skip
Tasks = Annotated[str | None, typer.Option(metavar="A,B", help="Which tasks.", show_default="all; of a study its own")]
BUDGETS = "Examples to learn from; all is as many as there are."
Budgets = Annotated[str | None, typer.Option(metavar="N,N", help=BUDGETS, show_default="10,30,100; of a study its own")]
Kinds = Annotated[str | None, typer.Option(metavar="A,B", help="zero-shot, icl, ft, icl+ft.", show_default="all")]
Seeds = Annotated[int | None, typer.Option(metavar="N", help="Orders of the examples.", show_default="1")]
Test = Annotated[
    int | None, typer.Option(metavar="N", help="Examples held out first, for all budgets.", show_default="100")
]
Shots = Annotated[
    str | None,
    typer.Option(metavar="K,K", help="Of several the stream chooses.", show_default="4", rich_help_panel=TRAINING),
]
Lr = Annotated[
    str | None,
    typer.Option(metavar="RATE,RATE", help="Learning rates.", show_default="3e-4", rich_help_panel=TRAINING),
]
Updates = Annotated[
    str | None,
    typer.Option(metavar="E,E", help="Updates an example.", show_default="3", rich_help_panel=TRAINING),
]
Chat = Annotated[str, typer.Option(metavar="auto|on|off", help="The model's chat template.")]
Dtype = Annotated[str, typer.Option(metavar="auto|float32|bfloat16", help="Numbers to compute in.")]
Quick = Annotated[bool, typer.Option("--quick", help="Few and short examples: a minute.")]
Plan = Annotated[bool, typer.Option("--plan", help="Tell tokens and hours, and do nothing.")]


def read_budgets(text: str | int | list[Any] | None, usual: tuple[int | None, ...]) -> tuple[int | None, ...]:
    if text is None:
        return usual
    told = text if isinstance(text, list) else [text]
    parts = f.names(text, "--budgets") if isinstance(text, str) else [str(one) for one in told]
    found = [None if part == "all" else f.counts(part, "--budgets")[0] for part in parts]
    return tuple(dict.fromkeys(found))


def listed_or(given: str | None, told: Any, usual: Any, read: Any) -> Any:
    """What was typed, else what the folder's settings say, else the usual."""
    if given is not None:
        return tuple(read(given))
    if told is None:
        return usual
    return tuple(told) if isinstance(told, list) else (told,)


def check_chat(chat: str) -> None:
    if chat not in ("auto", "on", "off"):
        raise UserError(f"--chat {chat}", hint="auto, on or off")
