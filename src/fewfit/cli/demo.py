"""`fewfit demo`: three bundled tasks on the bundled model, start to finish."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fewfit.cli import flags as f


@f.takes("quiet", "json_")
def demo(
    model: Annotated[str, typer.Option(metavar="NAME|FOLDER", help="Another model.")] = "lab",
    **flags: Any,
) -> None:
    """Three small tasks on the bundled model."""
