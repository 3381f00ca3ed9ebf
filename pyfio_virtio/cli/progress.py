# SPDX-License-Identifier: GPL-2.0-or-later
"""The progress of a sweep: a bar on stderr if stderr is a terminal, otherwise nothing.

rich is imported late because it is slow to import. Each failed run is reported at once, in a line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pyfio_virtio.results.record import Record

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from pyfio_virtio.sweep.points import Planned
    from pyfio_virtio.sweep.run import Watcher


class Quiet:
    """Reports failures only."""

    def expect(self, runs: int) -> None:
        pass

    def begin(self, planned: Planned, repeat: int) -> None:
        self._label = f"repeat {repeat}: {planned.choice.label}"

    def live(self, iops: float) -> None:
        pass

    def end(self, record: Record) -> None:
        if record.error:
            click.echo(f"pyfio-virtio: failed: {self._label}: {record.error}", err=True)


class Bar(Quiet):
    """Shows the point, the repeat, the current IOPS, and the time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("starting", total=0, iops="")
        self._total = 0

    def expect(self, runs: int) -> None:
        self._total += runs
        self._progress.update(self._task, total=self._total)

    def begin(self, planned: Planned, repeat: int) -> None:
        super().begin(planned, repeat)
        self._progress.update(self._task, description=self._label, iops="")

    def live(self, iops: float) -> None:
        self._progress.update(self._task, iops=f"{iops / 1000:,.0f}k IOPS")

    def end(self, record: Record) -> None:
        self._progress.advance(self._task)
        if record.error:
            self._progress.console.print(f"failed: {self._label}: {record.error}", markup=False)


@contextmanager
def watching() -> Iterator[Watcher]:
    """Gives a Bar if stderr is a terminal, otherwise a Quiet."""
    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.table import Column

    # If the line is too long for the terminal, the label is shortened.
    label = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        *(MofNCompleteColumn(), BarColumn(bar_width=10), TimeLeft()),
        TextColumn("{task.fields[iops]}"),
        TextColumn("{task.description}", markup=False, table_column=label),
    )
    with Progress(*columns, console=Console(stderr=True), expand=True) as progress:
        yield Bar(progress)
