# SPDX-License-Identifier: GPL-2.0-or-later
"""The progress of a sweep on stderr: a bar if it is a terminal, otherwise a line now and then.

rich is imported late because it is slow to import. Each failed run is reported at once, in a line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pyfio_virtio.results.record import Record

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from pyfio_virtio.sweep.points import Planned
    from pyfio_virtio.sweep.run import Watcher


# Without a terminal, lines come at least this long after each other.
_LINES_S = 30.0


class Lines:
    """Reports failures at once, and now and then how many runs are done and the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_s = self._said_s = clock()
        self._total = self._done = self._failed = 0

    def expect(self, runs: int) -> None:
        self._total += runs

    def begin(self, planned: Planned, repeat: int) -> None:
        self._label = f"repeat {repeat}: {planned.choice.label}"

    def live(self, iops: float) -> None:
        pass

    def end(self, record: Record) -> None:
        self._done += 1
        if record.error:
            self._failed += 1
            self._say(f"failed: {self._label}: {record.error}")
        if self._clock() - self._said_s >= _LINES_S and self._done < self._total:
            self._say(self._progress_line())
            self._said_s = self._clock()

    def _progress_line(self) -> str:
        left_s = (self._clock() - self._started_s) / self._done * (self._total - self._done)
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done} of {self._total} runs are done{failed}; {duration(left_s)} left"

    def _say(self, text: str) -> None:
        click.echo(f"pyfio-virtio: {text}", err=True)


def duration(seconds: float) -> str:
    """A time as people say it: about 3 min 20 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"about {hours} h {minutes} min"
    return f"about {minutes} min {rest} s" if minutes else f"about {rest} s"


class Bar(Lines):
    """Shows the point, the repeat, the current IOPS, and the time left."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task: TaskID = progress.add_task("starting", total=0, iops="")

    def expect(self, runs: int) -> None:
        super().expect(runs)
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
    """Gives a Bar if stderr is a terminal, otherwise Lines."""
    if not sys.stderr.isatty():
        yield Lines()
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
