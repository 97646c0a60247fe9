"""The command line: `fewfit COMMAND …`. Commands are thin; what they do is in the modules that they import when run."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from fewfit.cli import (
    augmenting,
    cache,
    demo,
    exporting,
    fit,
    inspecting,
    models,
    output,
    predicting,
    reporting,
    selecting,
    serving,
    suite,
)  # fmt: skip


class Ending(Exception):
    """Carries what typer would end the process for, in ways of its own, to where all endings are told."""


class Commands(TyperGroup):
    """The commands in the order of a first use."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, OSError, EOFError) as error:
            raise Ending(error) from error


class Grouped(TyperCommand):
    """Help by what the options are about: fifty in one list are found by nobody."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[Any]] = {}
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx)
            if row is not None:
                own = "Arguments" if param.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(param, "rich_help_panel", None) or own, []).append(row)
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    name="fewfit",
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Prompt it, tune it, or both? Evidence from a handful of examples, and the best one ready to serve.",
)
app.command("fit", cls=Grouped)(fit.fit)
app.command("plan", cls=Grouped)(fit.plan)
app.command("resume", cls=Grouped)(fit.resume)
app.command("inspect", cls=Grouped)(inspecting.inspect)
app.command("predict", cls=Grouped)(predicting.predict)
app.command("report", cls=Grouped)(reporting.report)
app.command("compare", cls=Grouped)(reporting.compare)
app.command("serve", cls=Grouped)(serving.serve)
app.command("export", cls=Grouped)(exporting.export)
app.command("push", cls=Grouped)(exporting.push)
app.command("augment", cls=Grouped)(augmenting.augment)
app.command("select-demos", cls=Grouped)(selecting.select_demos)
app.command("models", cls=Grouped)(models.models)
app.command("cache", cls=Grouped)(cache.cache)
app.command("demo", cls=Grouped)(demo.demo)
app.add_typer(suite.app, name="suite")


def version(wanted: bool) -> None:
    if wanted:
        from fewfit import __version__

        typer.echo(f"fewfit {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(False, "--version", callback=version, is_eager=True, help="The version, and no more."),
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """One command; its exit code. Whatever goes wrong is told here and nowhere else."""
    # Progress is the live table's; libraries that print their own on stderr would tear it.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore", FutureWarning)  # of one library to another: nothing that a user could mend
    as_json = "--json" in arguments
    output.take_any_character()
    try:
        code = app(list(arguments) or ["--help"], prog_name="fewfit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Ending as ending:
        return output.ended(ending.__cause__ or ending, as_json)
    except BaseException as error:
        return output.ended(error, as_json)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
