# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables on stdout, which look the same for all commands.

Commands import this file only when they print, because rich is slow to import.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Without a terminal the output goes to a program or a file, so lines are not broken.
_WIDTH_WITHOUT_TERMINAL = 240


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Prints plain text in columns. Text that is too long continues in the next line."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    table = Table(box=None, title=title or None, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
