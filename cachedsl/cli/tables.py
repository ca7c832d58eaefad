"""How the commands show a table: as wide as the terminal, and whole where there is none."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table


def table_of(*head: str) -> Table:
    """Return an empty table with these columns, whose cells fold where they do not fit; no name is ever cut."""
    table = Table()
    for name in head:
        table.add_column(name, overflow="fold")
    return table


def print_table(table: Table, widest: int = 1000) -> None:
    """Print a table to the terminal's width, or, where there is none, to that of its cells, within a limit."""
    console = Console(markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        wanted = console.measure(table, options=console.options.update(max_width=widest))
        console = Console(width=wanted.maximum, markup=False)
    console.print(table)
