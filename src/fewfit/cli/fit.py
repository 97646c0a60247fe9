"""`fewfit fit`, `plan`, `resume`: run a grid of lanes, say beforehand what that would do, go on with it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output

if TYPE_CHECKING:
    from fewfit.run.watch import Watch

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Examples: JSONL, JSON, CSV, TSV or Parquet; prompt/completion, messages, or columns such as text/label. "
        "Or documents (`text` alone), with --probe.",
        show_default=False,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="24GB",
        help="Plan for a GPU with so much memory, here or elsewhere (with --device cpu, for a CPU).  "
        "[default: what is here]",
        show_default=False,
        rich_help_panel=f.RUN,
    ),
]
Watched = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Show the race on a page of this machine's own while it runs; its address is printed at the start.",
        rich_help_panel=f.RUN,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--watch-port",
        metavar="PORT",
        help="Where the page of --watch is served.  [default: any that is free]",
        show_default=False,
        rich_help_panel=f.RUN,
    ),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or `last`.", show_default=False)]


@f.takes(
    *f.MODELS,
    *f.ENDPOINTS,
    *f.LANES,
    *f.SCORES,
    *f.PROMPTS,
    *f.ROWS,
    "final",
    "out",
    "no_text",
    "quiet",
    "json_",
    "yes",
)
def fit(data: Data, watch: Watched = False, watch_port: Port = None, **flags: Any) -> None:
    """Compare prompting, tuning and both on your examples.

    Every lane predicts each example before it may train on it, so no example is spent on a validation split. The best
    one is made ready to serve.
    """
    settings = f.values(flags)
    with shown(watch, watch_port, quiet=flags["quiet"]) as told:
        from fewfit import api

        run = api.fit(data, watch=told, **settings)
    finish(run, flags["json_"])


@f.takes("quiet", "json_")
def resume(run: RunName, watch: Watched = False, watch_port: Port = None, **flags: Any) -> None:
    """Go on with a run that was stopped.

    All settings are the run's; changed data or models are refused.
    """
    from fewfit.run import folders

    with shown(watch, watch_port, quiet=flags["quiet"], run=folders.find(run)) as told:
        from fewfit import api

        done = api.resume(run, watch=told)
    finish(done, flags["json_"])


@f.takes(*f.MODELS, *f.ENDPOINTS, *f.LANES, *f.SCORES, *f.PROMPTS, *f.ROWS, "final", "json_")
def plan(data: Data, memory: Memory = None, **flags: Any) -> None:
    """Tell what fit would do: lanes, tokens, memory, minutes.

    No weights are fetched and nothing is written: estimated from config, tokenizer and a short matrix product.
    """
    settings = f.values(flags)
    gc.disable()  # it lives for seconds, a tenth of which would go on looking for garbage among what is imported
    from fewfit import plan as planning

    made = planning.plan(data, memory=memory, **settings)
    if flags["json_"]:
        output.line(made.as_json())
    else:
        from fewfit.cli.planning import show

        show(made)
    gc.freeze()  # nor is a second to be spent on it at the very end


@contextmanager
def shown(watch: bool, port: int | None, *, quiet: bool, run: Path | None = None) -> Iterator[Watch | None]:
    """How a run is told while it goes on: on the terminal, and on a page where that is wanted."""
    from fewfit.cli.table import table
    from fewfit.live.watching import watching

    def tell(line: str) -> None:
        output.say(f"fewfit: {line}")

    with table(quiet=quiet) as told, watching(watch, told, port=port, run=run, tell=tell) as both:
        yield both


def finish(run: Any, as_json: bool) -> None:
    if as_json:
        output.line({key: value for key, value in run.result.items() if key != "warnings"})
        return
    from fewfit.cli.closing import closing

    closing(run.result, run.folder)
