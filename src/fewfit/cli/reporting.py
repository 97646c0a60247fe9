"""`fewfit report` and `compare`: a run, or several, as a page that opens offline."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output


@f.takes("json_")
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or `last`.", show_default=False)],
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where the page goes.", show_default="report.html in the run"),
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave out the examples, and what was answered to them.")
    ] = False,
    **flags: Any,
) -> None:
    """Write what a run found as a page.

    One file that opens offline in any browser and loads nothing. `fit` writes it too; here it is made again, elsewhere
    or without the examples.
    """
    from fewfit.report.writing import write_report

    target = write_report(run, out, with_text=not no_text)
    if flags["json_"]:
        output.line({"schema": output.SCHEMA, "report": str(target)})
    else:
        print(target)


@f.takes("json_")
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="Folders of runs.", show_default=False)],
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="A page of it, too.", show_default="no page")
    ] = None,
    **flags: Any,
) -> None:
    """Put several runs beside each other.

    Several models or data sets: a table here, and with --out a page of the same kind as the report.
    """
    from fewfit.report.comparing import as_json, caution, write_comparison
    from fewfit.report.comparing import compare as compared_runs

    compared = compared_runs(runs)
    page = None if out is None else str(write_comparison(compared, out))
    if flags["json_"]:
        output.line({"schema": output.SCHEMA, "runs": as_json(compared), "page": page})
        return
    show(compared)
    print(f"\n{caution(compared)}")
    if page is not None:
        print(f"\nThe page is {page}.")


def show(compared: Any) -> None:
    from rich.table import Table

    from fewfit.report.numbers import points, span

    console = output.console()
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for name in ("data", "model", "lane"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("n", "score", "95%", "labels", "test", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in compared:
        tokens = "–" if one.tokens is None else f"{one.tokens:,.0f}"
        table.add_row(
            one.data, one.model, one.best, str(one.n), points(one.score), span(one.interval),
            points(one.majority) or "–", points(one.test) or "–", tokens,
        )  # fmt: skip
    console.print(table)
