# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of a report: every point with its axes, metrics and counters.

This file owns the columns of the table, their order and their texts. All functions are pure
functions of frames, so any thread may call them. report.py puts the table into a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from pyfio_virtio import efficiency
from pyfio_virtio.analysis import checks, markdown, style
from pyfio_virtio.analysis.frame import (
    as_json,
    axes,
    column_names,
    counters,
    in_order,
    measured,
    points,
)
from pyfio_virtio.analysis.names import SUBJECTS, of_what
from pyfio_virtio.results import values
from pyfio_virtio.results.record import Row

DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """An entry of a table: the value by which it is sorted, and the text that is shown."""

    value: float | str
    text: str


@dataclass(frozen=True)
class Table:
    """Headings and rows of cells."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        """The table for a pull request."""
        return markdown.table(self.headings, [[cell.text for cell in row] for row in self.rows])


Column = tuple[str, str, Callable[[float], str]]
_COLUMNS: tuple[Column, ...] = (
    ("iops", "IOPS", style.short),
    (efficiency.BOTH, "IOPS per core", style.short),
    ("lat_mean_ns", "mean latency", style.duration),
    ("p50_ns", "p50", style.duration),
    ("p99_ns", "p99", style.duration),
    ("p99_9_ns", "p99.9", style.duration),
    ("p99_9_ns_corrected", "p99.9 corrected", style.duration),
    ("fio_cpu_us", "fio µs per I/O", style.number),
    ("backend_cpu_us", "back-end µs per I/O", style.number),
)
# Beside the usual columns where the CPU time of the back-end is not known at some points.
_OF_FIO = (efficiency.FIO, f"IOPS per core ({efficiency.FIO_ALONE})", style.short)
_WITH_INTERVALS = ("iops", efficiency.BOTH, efficiency.FIO)


def tabulate(frame: pd.DataFrame) -> Table:
    """One row for each point, one column for each axis and each metric."""
    if not len(measured(frame)):
        return Table((), ())
    keys = axes(frame) or ["way"]
    table = points(frame, keys)
    shown = [column for column in _columns(table) if table[column[0]].notna().any()]
    counted = [
        name
        for name in ("kicks", "calls", "looks", "sleeps")
        if name in counters(frame) and table[f"{name}_per_io"].notna().any()
    ]
    places = {key: _ranks(table, key) for key in keys}
    rows = [
        (
            *(_key_cell(row, key, places[key]) for key in keys),
            Cell(int(row["n"]), str(int(row["n"]))),
            *(_metric_cell(row, name, say) for name, _, say in shown),
            *(_number_cell(row[f"{name}_per_io"]) for name in counted),
        )
        for _, row in table.iterrows()
    ]
    runs = measured(frame)
    metrics = [title + of_what(runs, name) for name, title, _ in shown]
    headings = (*map(heading, keys), "runs", *metrics, *(f"{name} per I/O" for name in counted))
    return Table(tuple(headings), tuple(rows))


def _columns(table: pd.DataFrame) -> list[Column]:
    known = [column for column in _COLUMNS if column[0] in table]
    if not lacks_both_sides(table):
        return known
    place = next((n for n, column in enumerate(known) if column[0] == efficiency.BOTH), 0) + 1
    return [*known[:place], _OF_FIO, *known[place:]]


def lacks_both_sides(table: pd.DataFrame) -> bool:
    """Whether the CPU time of fio is known somewhere where that of its back-end is not."""
    if efficiency.FIO not in table or efficiency.BOTH not in table:
        return False
    return bool((table[efficiency.FIO].notna() & table[efficiency.BOTH].isna()).any())


def records(frame: pd.DataFrame) -> list[Row]:
    """The same for programs: one object for each point, by the names of the columns."""
    if not len(measured(frame)):
        return []
    keys = axes(frame) or ["way"]
    table = points(frame, keys).drop(columns=["way_order", "confidence"])
    table = table[[*keys, *(name for name in column_names(table) if name not in keys)]]
    return [
        {str(name): as_json(value) for name, value in row.items()} for _, row in table.iterrows()
    ]


def heading(key: str) -> str:
    """The name of an axis in a table."""
    return SUBJECTS[key][0] if key in SUBJECTS and key != "way" else key


def _ranks(table: pd.DataFrame, key: str) -> dict[str, int]:
    """The place of each value among the others, by which a reader's browser sorts the column."""
    return {str(value): rank for rank, value in enumerate(in_order(table, [key])[key].unique())}


def _key_cell(row: pd.Series, key: str, ranks: Mapping[str, int]) -> Cell:
    value = row[key]
    return Cell(ranks[str(value)], "" if values.is_missing(value) else checks.plain(value))


def _metric_cell(row: pd.Series, name: str, say: Callable[[float], str]) -> Cell:
    value = row[name]
    if pd.isna(value):
        return Cell(-1, DASH)
    if name not in _WITH_INTERVALS or row[f"{name}_n"] < 2:
        return Cell(float(value), say(value))
    return Cell(
        float(value), f"{say(value)} ({say(row[f'{name}_low'])} to {say(row[f'{name}_high'])})"
    )


def _number_cell(value: float) -> Cell:
    return Cell(-1, DASH) if pd.isna(value) else Cell(float(value), style.number(value))
