"""What the commands of all suites have in common."""

from __future__ import annotations

from fewfit.cli import output

SCHEMA = output.SCHEMA
TRAINING = "Training"


def print_table(head: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    output.console().print(table)
