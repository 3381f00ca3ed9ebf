# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio results and replay: show what a sweep kept, and run one of its points again.

This file reads folders of results and prints. Only replay runs fio, and it keeps the result in a
folder of its own. The only statistic here is the median; cli/report.py has the others.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfio_virtio.cli.help import Commands
from pyfio_virtio.cli.options import confirm
from pyfio_virtio.cli.sweep_options import DEFAULT_FOLDER
from pyfio_virtio.errors import PyfioVirtioError, UsageError

if TYPE_CHECKING:
    from pyfio_virtio.results.record import Record, Row
    from pyfio_virtio.results.results import SweepFolder

_FOLDER = click.argument(
    "folder", type=click.Path(path_type=Path), default=Path(DEFAULT_FOLDER), required=False
)


@click.group(cls=Commands)
def results() -> None:
    """List, show and export the results of a sweep."""


@results.command("list")
@_FOLDER
def list_points(folder: Path) -> None:
    """List the points of a sweep, with their runs and median IOPS."""
    from pyfio_virtio.cli.tables import print_table

    rows = [_summary(point, runs) for point, runs in _in_order(_by_point(_open(folder)))]
    print_table(("point", "runs", "failed", "IOPS", "p99 µs", "options"), rows)


def _in_order(points: Mapping[str, list[Record]]) -> list[tuple[str, list[Record]]]:
    """Measured points first, by their options from left to right."""
    from pyfio_virtio.results import values
    from pyfio_virtio.results.record import MEASURED

    names = dict.fromkeys(name for runs in points.values() for name in runs[0].options)

    def key(item: tuple[str, list[Record]]) -> tuple[object, ...]:
        point, options = item[1][0].point, item[1][0].options
        places = [values.order(name, options.get(name)) for name in names]
        return (point.role != MEASURED, point.role, point.engine, places)

    return sorted(points.items(), key=key)


def _open(folder: Path) -> SweepFolder:
    from pyfio_virtio.results.results import open_sweep

    return open_sweep(folder)


def _by_point(sweep: SweepFolder) -> dict[str, list[Record]]:
    points: dict[str, list[Record]] = {}
    for record in sweep.records():
        points.setdefault(record.point.hash, []).append(record)
    return points


def _summary(point: str, runs: Sequence[Record]) -> tuple[str, ...]:
    import statistics

    good = [run.total for run in runs if not run.error]
    p99 = [each.p99_ns for each in good if each.p99_ns is not None]
    kinds = sorted({each.percentiles_of for each in good if each.percentiles_of})
    return (
        *(point, str(len(runs)), str(len(runs) - len(good))),
        f"{statistics.median(each.iops for each in good):,.0f}" if good else "",
        f"{statistics.median(p99) / 1000:,.1f} ({' and '.join(kinds)})" if p99 else "",
        _what(runs[0]),
    )


def _what(run: Record) -> str:
    options = [f"{name}={value}" for name, value in run.options.items() if value is not None]
    from pyfio_virtio.results.record import MEASURED

    role = [] if run.point.role == MEASURED else [f"({run.point.role})"]
    return " ".join([run.point.engine, *options, *role])


@results.command()
@click.argument("point", metavar="HASH")
@_FOLDER
def show(point: str, folder: Path) -> None:
    """Show the job, the commands and all runs of a point.

    HASH may be shortened.
    """
    sweep = _open(folder)
    runs = _runs_of(sweep, point)
    last = runs[-1]
    click.echo(f"{last.point.hash}: {_what(last)}\non {last.point.backend}\n")
    click.echo(last.point.job)
    click.echo(f"{last.backend_command}\n{last.fio_command}\n".lstrip())
    for run in runs:
        where = sweep.run_folder(run.point.hash, run.repeat)
        outcome = run.error or f"{run.total.iops:,.0f} IOPS"
        click.echo(f"run {run.repeat}, {run.started}: {outcome}; {where}")


def _runs_of(sweep: SweepFolder, point: str) -> list[Record]:
    points = _by_point(sweep)
    found = [name for name in points if name.startswith(point)]
    if len(found) != 1:
        raise UsageError(
            f"{sweep.path} has {'no' if not found else f'{len(found)}'} points {point}",
            "",
            f"see: pyfio-virtio results list {sweep.path}",
        )
    return points[found[0]]


@results.command()
@_FOLDER
@click.option("--csv", "as_csv", is_flag=True, required=True, help="Print comma-separated values.")
def export(folder: Path, as_csv: bool) -> None:
    """Print every run as one row, with all its columns."""
    import csv

    rows = [_flat(row) for row in _open(folder).rows()]
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(sys.stdout, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flat(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, list)}


@click.command()
@click.argument("point", metavar="HASH")
@_FOLDER
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("replay-results"),
    show_default=True,
    help="The folder for the result of the new run.",
)
@click.option("--yes", is_flag=True, help="Do not ask before writing to disks or running commands.")
@click.option("--fio", "program", help="The fio to run.  [default: that of the sweep]")
def replay(point: str, folder: Path, output: Path, yes: bool, program: str | None) -> None:
    """Run one point of a sweep again, and compare the results.

    It runs on the disk that the folder names. It asks before it writes to a disk that was not
    started for this run.
    """
    from pyfio_virtio.cli.progress import watching
    from pyfio_virtio.results.results import PLAN
    from pyfio_virtio.sweep import rerun

    sweep = _open(folder)
    kept = _runs_of(sweep, point)
    programs = rerun.reached_to_prepare(folder / PLAN, program)
    confirm(f"replay of {point}", programs, yes, "do not replay it")
    prepared = rerun.prepare(folder / PLAN, kept[0].point.hash, program)
    confirm(f"replay of {point}", prepared.reached(), yes, "do not replay it")
    with watching() as watcher:
        again = prepared.run(output, watcher)
    if again.error:
        raise PyfioVirtioError("the run failed", again.error)
    values = sorted(run.total.iops for run in kept if not run.error)
    click.echo(f"{again.total.iops:,.0f} IOPS now, {_range(values)}; kept in {output}")


def _range(values: Sequence[float]) -> str:
    if not values:
        return "no earlier run succeeded"
    import statistics

    middle = statistics.median(values)
    return f"{middle:,.0f} before ({values[0]:,.0f} to {values[-1]:,.0f} in {len(values)} runs)"
