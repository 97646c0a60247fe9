"""`fewfit models`: the models that need no network, as a table or as one line of JSON."""

from __future__ import annotations

from typing import Any

from fewfit.cli import flags as f
from fewfit.cli import output

KEYS = ("name", "description", "parameters", "bytes", "licence", "hub", "installed", "converted", "install")


@f.takes("json_")
def models(**flags: Any) -> None:
    """Models that need no network, and what installs them."""
    from fewfit.models.installed import MODELS

    rows = [row(model) for model in MODELS]
    if flags["json_"]:
        output.line({"schema": output.SCHEMA, "models": rows})
        return
    show(rows)


def row(model: Any) -> dict[str, Any]:
    """`converted` and `install` are null for what comes with fewfit: nothing has to be done for it."""
    from fewfit.models import gguf, installed

    there = installed.bundled_folder(model.name) if model.gguf is None else installed.parts(model.gguf)
    facts = {
        "installed": there is not None,
        "converted": None if model.gguf is None else gguf.converted(model.gguf.sha256) is not None,
    }
    return {key: facts[key] if key in facts else getattr(model, key) for key in KEYS}


def show(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    console = output.console()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("--model", no_wrap=True)
    table.add_column("what it is")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("licence")
    table.add_column("here", no_wrap=True)
    for one in rows:
        size = f"{one['bytes'] / 1e6:,.0f} MB"
        licence = one["licence"].split(" (")[0]
        table.add_row(one["name"], one["description"], f"{one['parameters'] / 1e6:,.1f}M", size, licence, state(one))
    console.print(table)
    console.print()
    for one in rows:
        if one["install"]:
            console.print(f"{one['name']}: {one['install']}", markup=False, soft_wrap=True)
    console.print("Any other model is named by its folder, its GGUF file or its Hugging Face name.")


def state(row: dict[str, Any]) -> str:
    if row["converted"]:
        return "converted"
    return "yes" if row["installed"] else "no"
