# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables on stdout, which look the same for all commands.

Commands import this file only when they print, because rich is slow to import.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Without a terminal the output goes to a program or a file, so lines are not broken.
_WIDTH_WITHOUT_TERMINAL = 240
# Longer cells hold text or paths, which may be broken anywhere.
_SHORT = 16
# rich leaves so many characters between two columns. Releases before 14 need so many more in all.
_GAP = 2
_SPARE = 2


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Prints plain text in columns. Text that is too long continues in the next line.

    On a terminal so narrow that words would be broken, each row is a list of lines.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    lists = [list(row) for row in rows]
    widths = _least_widths(columns, lists)
    if sum(widths) + _GAP * (len(widths) - 1) + _SPARE > console.width:
        _print_lists(console, columns, lists, title)
        return
    table = Table(box=None, title=title or None, title_justify="left", pad_edge=False)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, overflow="fold", min_width=width)
    for row in lists:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _least_widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """So many characters break no word of a heading, and no short cell."""
    widths = [max(map(cell_len, column.split()), default=0) for column in columns]
    for row in rows:
        for number, cell in enumerate(row):
            if cell_len(cell) <= _SHORT:
                widths[number] = max(widths[number], cell_len(cell))
    return widths


def _print_lists(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]], title: str
) -> None:
    """Leaves out empty cells."""
    if title:
        console.print(Text(title))
    for row in rows:
        for indent, column, cell in zip(("", *["  "] * len(row)), columns, row, strict=False):
            if cell:
                console.print(Text(f"{indent}{column}: {cell}" if column else f"{indent}{cell}"))
