"""What the commands of all suites have in common."""

from __future__ import annotations

import sys

SCHEMA = 1
TRAINING = "Training"


def print_table(head: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    terminal = sys.stdout.isatty()
    Console(highlight=False, width=None if terminal else 160, soft_wrap=not terminal).print(table)
