"""`fewfit export` and `fewfit push`: a run's product carried elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.errors import UserError

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run, a bundle, or `last`.", show_default=False)]


@f.takes("device", "quiet", "json_")
def export(
    run: RunArgument,
    to: Annotated[str, typer.Option(metavar="FOLDER", help="A new folder for all of it.", show_default=False)],
    kinds: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="KIND,KIND",
            help="peft: the adapter; merged: the whole model; template: a chat template with the demonstrations in it; "
            "ollama: a Modelfile; prompt: the prompt as text; messages: a chat request.",
            show_default="all but merged and ollama",
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(
            "--set", metavar="N", help="Of several sets of demonstrations the one for all queries.", show_default=False
        ),
    ] = None,
    check: Annotated[
        int, typer.Option(metavar="N", help="Examples of the run on which answers are compared; 0: none.")
    ] = 100,
    **flags: Any,
) -> None:
    """Write what other libraries and servers take."""
    from fewfit import bundle
    from fewfit.run import folders

    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()] if kinds is not None else []
    if kinds is not None and not wanted:
        raise UserError("--as names nothing", hint="leave it out, or name kinds: --as peft,template")
    loaded = bundle.load(folders.place(run))
    from fewfit.export import export as write  # seconds, and a name may be wrong

    made = write(
        loaded,
        Path(to),
        wanted,
        set_number=number,
        check=check,
        device=flags["device"],
        tell=(lambda text: None) if flags["quiet"] else output.say,
    )
    if flags["json_"]:
        output.line({"schema": output.SCHEMA, **made.as_json()})
        return
    print(f"{made.folder}: {', '.join(made.kinds)}")
    for one in made.checks:
        print(one.line())
    for kind, why in made.left_out.items():
        output.say(f"no {kind}: {why}")
    for note in made.notes:
        output.say(f"note: {note}")
    for command in made.commands:
        print(command)
    for stop in made.stop:
        print(f"clients have to give stop={stop!r}")
    sys.stdout.flush()


@f.takes("quiet", "json_")
def push(
    run: RunArgument,
    repo: Annotated[str, typer.Argument(metavar="USER/NAME", help="The repository.", show_default=False)],
    export: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Send this export of it.", show_default="the bundle as it is"),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="For everybody to see.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False,
    **flags: Any,
) -> None:
    """Put a bundle on the Hugging Face hub.

    What is sent is listed first, with the files that hold text of your examples, and nothing is sent without a yes.
    """
    from fewfit import bundle
    from fewfit.run import folders

    loaded = bundle.load(folders.place(run))
    from fewfit.export import push as send
    from fewfit.export.exporting import RECORD, digest_of, examples_of

    folder = loaded.folder if export is None else Path(export)
    if export is not None and not (folder / RECORD).is_file():
        raise UserError("is no export", where=export, hint="make one: fewfit export RUN --to FOLDER")
    if export is not None and json.loads((folder / RECORD).read_text()).get("bundle") not in (None, digest_of(loaded)):
        raise UserError(f"is an export of another bundle than {run}", where=export, hint="name the run it is of")

    def agreed(told: Any) -> bool:
        if not flags["quiet"]:
            for line in told.lines():
                output.say(f"  {line}")
        if yes:
            return True
        if flags["json_"] or not sys.stdin.isatty():
            return False
        whom = "everybody can see" if public else "only you can see"
        return typer.confirm(f"Send these {len(told.files)} files to {repo}, which {whom}?", err=True)

    sent = send(folder, repo, bundle=loaded, examples=examples_of(loaded), agreed=agreed, private=not public)
    if flags["json_"]:
        output.line({"schema": output.SCHEMA, "repo": sent.repo, "url": sent.url, "private": sent.private})
    else:
        print(sent.url, flush=True)
