# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio results and replay: show what a sweep kept, and run one of its points again.

This file reads folders of results and prints. Only replay runs fio, and it keeps the result in a
folder of its own. The only statistic here is the median; cli/report.py has the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfio_virtio import efficiency
from pyfio_virtio.cli.help import Commands
from pyfio_virtio.cli.options import confirm
from pyfio_virtio.cli.output import json_option, print_or_write, refuse_two_formats
from pyfio_virtio.cli.sweep_options import DEFAULT_FOLDER
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.results.export import json_text

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
@json_option
def list_points(folder: Path, as_json: bool) -> None:
    """List the points of a sweep, with their runs and median IOPS."""
    from pyfio_virtio.cli.tables import print_table

    points = [_Summary.of(runs) for _, runs in _in_order(_by_point(_open(folder)))]
    if as_json:
        click.echo(json_text([each.as_dict() for each in points]), nl=False)
        return
    rows = [each.cells() for each in points]
    print_table(("point", "runs", "failed", "IOPS", "IOPS per core", "p99 µs", "options"), rows)


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


@dataclass(frozen=True)
class _Summary:
    """A point of a sweep, and the medians of its runs that succeeded; None if none has a value."""

    last: Record
    runs: int
    failed: int
    iops: float | None
    per_core: Mapping[str, float | None]  # of both sides and of each of them
    p99_ns: float | None
    p99_of: str  # lat, clat, or both, which older sweeps may mix

    @classmethod
    def of(cls, runs: Sequence[Record]) -> _Summary:
        succeeded = [run for run in runs if not run.error]
        good = [run.total for run in succeeded]
        kinds = sorted({each.percentiles_of for each in good if each.percentiles_of})
        return cls(
            last=runs[-1],
            runs=len(runs),
            failed=len(runs) - len(good),
            iops=_median(each.iops for each in good),
            per_core=_medians([run.iops_per_core for run in succeeded]),
            p99_ns=_median(each.p99_ns for each in good if each.p99_ns is not None),
            p99_of=" and ".join(kinds),
        )

    def cells(self) -> tuple[str, ...]:
        """A row of a table."""
        return (
            *(self.last.point.hash, str(self.runs), str(self.failed)),
            "" if self.iops is None else f"{self.iops:,.0f}",
            _efficiency(self.per_core),
            "" if self.p99_ns is None else f"{self.p99_ns / 1000:,.1f} ({self.p99_of})",
            _what(self.last),
        )

    def as_dict(self) -> Row:
        """An object of JSON."""
        return {
            **_identity(self.last),
            "runs": self.runs,
            "failed": self.failed,
            "iops": self.iops,
            **self.per_core,
            "p99_ns": self.p99_ns,
            "p99_of": self.p99_of or None,
        }


def _median(values: Iterable[float]) -> float | None:
    import statistics

    known = list(values)
    return statistics.median(known) if known else None


def _medians(runs: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    found = {name: [run[name] for run in runs] for name in efficiency.SIDES}
    return {
        name: _median(each for each in every if each is not None) for name, every in found.items()
    }


def _efficiency(per_core: Mapping[str, float | None]) -> str:
    """IOPS per core of both sides, or in words that it is of one side."""
    both, fio = per_core[efficiency.BOTH], per_core[efficiency.FIO]
    if both is not None:
        return f"{both:,.0f}"
    return "" if fio is None else f"{fio:,.0f} ({efficiency.FIO_ALONE})"


def _identity(run: Record) -> Row:
    point = run.point
    return {
        "point": point.hash,
        "role": point.role,
        "engine": point.engine,
        "backend": point.backend,
        "options": {name: value for name, value in run.options.items() if value is not None},
    }


def _what(run: Record) -> str:
    options = [f"{name}={value}" for name, value in run.options.items() if value is not None]
    from pyfio_virtio.results.record import MEASURED

    role = [] if run.point.role == MEASURED else [f"({run.point.role})"]
    return " ".join([run.point.engine, *options, *role])


@results.command()
@click.argument("point", metavar="HASH")
@_FOLDER
@json_option
def show(point: str, folder: Path, as_json: bool) -> None:
    """Show the job, the commands and all runs of a point.

    HASH may be shortened.
    """
    sweep = _open(folder)
    runs = _runs_of(sweep, point)
    if as_json:
        click.echo(json_text(_as_dict(sweep, runs)), nl=False)
        return
    last = runs[-1]
    click.echo(f"{last.point.hash}: {_what(last)}\non {last.point.backend}\n")
    click.echo(last.point.job)
    click.echo(f"{last.backend_command}\n{last.fio_command}\n".lstrip())
    for run in runs:
        where = sweep.run_folder(run.point.hash, run.repeat)
        outcome = " ".join(run.error.split()) if run.error else _outcome(run)
        click.echo(f"run {run.repeat}, {run.started}: {outcome}; {where}")


def _outcome(run: Record) -> str:
    per_core = _efficiency(run.iops_per_core)
    return f"{run.total.iops:,.0f} IOPS{f', {per_core} per core' if per_core else ''}"


def _as_dict(sweep: SweepFolder, runs: Sequence[Record]) -> Row:
    from pyfio_virtio.results.record import to_row

    last = runs[-1]
    rows = [
        {**to_row(run), "folder": str(sweep.run_folder(run.point.hash, run.repeat))} for run in runs
    ]
    return {
        **_identity(last),
        "job": last.point.job,
        "backend_command": last.backend_command,
        "fio_command": last.fio_command,
        "runs": rows,
    }


def _runs_of(sweep: SweepFolder, point: str) -> list[Record]:
    points = _by_point(sweep)
    found = [name for name in points if name.startswith(point)]
    if len(found) != 1:
        raise UsageError(
            f"{sweep.path} has {f'{len(found)} points' if found else 'no point'} {point}",
            "",
            f"see: pyfio-virtio results list {sweep.path}",
        )
    return points[found[0]]


@results.command()
@_FOLDER
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, which is the default.")
@click.option("--json", "as_json", is_flag=True, help="JSON: a list with an object for each run.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .csv, .json or .jsonl file to write.  [default: print CSV]",
)
def export(folder: Path, as_csv: bool, as_json: bool, output: Path | None) -> None:
    """Print every run as one row, with all its columns.

    A run is one line of CSV: the ends of lines in a cell are written as \\n.
    """
    from pyfio_virtio.results import export as exports
    from pyfio_virtio.results.results import ResultsError

    refuse_two_formats(csv=as_csv, json=as_json)
    kind = exports.JSON if as_json else exports.CSV
    if output and not as_csv and not as_json:
        kind = exports.kind_of(output)
    rows = _open(folder).rows()
    if not rows:
        raise ResultsError(f"{folder} has no run yet", "", "wait for its first run")
    print_or_write(exports.text(rows, kind), output)


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
    from pyfio_virtio.results.results import PLAN, SweepFolder
    from pyfio_virtio.sweep import rerun

    sweep = _open(folder)
    kept = _runs_of(sweep, point)
    SweepFolder(output).check_own()
    programs = rerun.reached_to_prepare(folder / PLAN, program)
    confirm(f"replay of {point}", programs, yes, "do not replay it")
    tell = partial(click.echo, err=True)
    prepared = rerun.prepare(folder / PLAN, kept[0].point.hash, program, tell)
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
