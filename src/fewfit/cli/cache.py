"""`fewfit cache`: the answers of endpoints that are kept on this machine, and `fewfit cache clear`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.errors import UserError


@f.takes("json_")
def cache(
    action: Annotated[
        str | None, typer.Argument(metavar="[clear]", help="Forget them all.", show_default=False)
    ] = None,
    **flags: Any,
) -> None:
    """Show the answers of endpoints that are kept, or forget them.

    A request whose answer is kept is not sent again, by no run and no command: nothing is paid for twice.
    """
    if action not in (None, "clear"):
        raise UserError(f"fewfit cache {action}", hint="fewfit cache shows it, fewfit cache clear empties it")
    from fewfit.models.remote.cache import Answers, answers_path

    path = answers_path()
    answers = Answers(path) if path.exists() else None
    kept = [] if answers is None else answers.kept()
    bytes_ = 0 if answers is None else answers.size()
    if answers is not None and action == "clear":
        answers.clear()
    if flags["json_"]:
        models = [asdict(one) for one in kept]
        shown = {"path": str(path), "bytes": bytes_, "models": models, "cleared": action == "clear"}
        output.line({"schema": output.SCHEMA, **shown})
        return
    for one in kept:
        print(f"{one.answers:,} answers of {one.model} at {one.url}, {one.tokens:,} tokens")
    what = "no answers are kept" if not kept else f"{bytes_ / 1e6:.1f} MB" + ", cleared" * (action == "clear")
    print(f"{path}: {what}")
