# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio tune: finds the options with which a disk is fastest, and writes them as job files.

Turns flags into what is tried, spends the time, prints a table and a sentence for each goal, and
writes the files. Modules that are slow to import are imported when they are needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.cli import completions
from pyfio_virtio.cli.options import confirm, disk_option, dry_run_option, seconds_option
from pyfio_virtio.cli.output import check_folder
from pyfio_virtio.cli.pictures import keep_files_in_cache
from pyfio_virtio.cli.sweep_options import option_lists
from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine.process import start_ticks
from pyfio_virtio.reach import Reach
from pyfio_virtio.results.results import RUNS, SweepFolder
from pyfio_virtio.sweep.candidates import BUILTIN
from pyfio_virtio.sweep.settings import Settings, located
from pyfio_virtio.tune.goals import GOALS
from pyfio_virtio.tune.setups import OWN_OPTIONS

if TYPE_CHECKING:
    from pyfio_virtio.tune.measuring import Plan

DEFAULT_FOLDER = "tuned"
_LEAST_S = 2.0


@click.command()
@click.argument("socket", required=False, shell_complete=completions.files)
@click.option(
    "--backend",
    metavar="builtin|qsd|SOCKET",
    shell_complete=completions.kinds,
    help="What serves the disk. Options of the back-end may follow: qsd,aio=io_uring.  "
    "[default: builtin]",
)
@seconds_option(
    "--time", "time_s", least=_LEAST_S, default="60", show_default=True, help="Time to spend."
)
@click.option(
    "--goal",
    "goals",
    multiple=True,
    type=click.Choice([each.key for each in GOALS]),
    help="What to tune for; may be repeated.  [default: all]",
)
@click.option("--rw", help="Direction of the I/O.  [default: randread]")
@click.option("--bs", help="Size of each I/O.  [default: 4k]")
@click.option(
    "--wait",
    multiple=True,
    metavar="LIST",
    shell_complete=completions.waits,
    help="Ways of waiting to try.",
)
@click.option("--iodepth", multiple=True, metavar="LIST", help="I/Os in flight to try for IOPS.")
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="OPTION=LIST",
    help="Values to try of any option of fio or of the engine, such as queue_size=64,256. One "
    "value fixes it. The first value of each list is the default that the others are compared "
    "with. May be repeated.",
)
@click.option(
    "--cpus",
    multiple=True,
    metavar="PLACE",
    help="CPUs of fio and the back-end to try: any, separate, shared, or FIO:BACKEND such as 0:1; "
    "may be repeated.",
)
@disk_option("--storage", metavar="null|memory[:PATH]|file[:PATH]", also="  [default: null]")
@disk_option("--disk-size", also="  [default: 1G]")
@disk_option("--poll-max-ns", also=" If it is given, no others are tried.")
@disk_option("--backend-option", multiple=True)
@click.option(
    "--engine-build", metavar="FOLDER", help="The build of the engine that goes with --fio."
)
@click.option("--fio", metavar="PROGRAM", help="The fio to run.  [default: fio]")
@click.option("--seed", type=int, help="Seed of the order of the runs.  [default: random]")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(DEFAULT_FOLDER),
    show_default=True,
    help="The folder for the job files latency.fio, iops.fio and iops-per-core.fio.",
)
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the records of all runs in this new folder, for report and results.",
)
@click.option(
    "--yes", is_flag=True, help="Do not ask before writing to a disk or replacing job files."
)
@dry_run_option
@click.pass_context
def tune(
    context: click.Context,
    socket: str | None,
    backend: str | None,
    time_s: float,
    goals: Sequence[str],
    rw: str | None,
    bs: str | None,
    wait: Sequence[str],
    iodepth: Sequence[str],
    options: Sequence[str],
    cpus: Sequence[str],
    storage: str | None,
    disk_size: str | None,
    poll_max_ns: int | None,
    backend_option: Sequence[str],
    engine_build: str | None,
    fio: str | None,
    seed: int | None,
    output: Path,
    runs: Path | None,
    yes: bool,
    dry_run: bool,
) -> None:
    """Find the best options for a disk within a minute, and write them as job files.

    The disk is that of SOCKET, or one that is started. It is only read, unless --rw says otherwise.
    There is a job file for the lowest latency with one I/O in flight, one for the most IOPS, and
    one for the most IOPS per core of fio and the back-end. Each is compared with the
    defaults at the end, in runs of its own, and is kept only if it was shown to be better.
    """
    one = {name: (text,) for name, text in (("rw", rw), ("bs", bs)) if text}
    said = {
        "storage": storage,
        "disk_size": disk_size,
        "poll_max_ns": poll_max_ns,
        "backend_option": tuple(backend_option),
        "fio": (fio,) if fio else None,
        "engine_build": (engine_build,) if engine_build else None,
        "cpus": tuple(cpus),
    }
    lists = option_lists({**one, "wait": wait, "iodepth": iodepth}, options)
    settings = _settings(_disk(socket, backend), lists, said)
    _check_folders(output, _files(goals, output), runs)
    if not dry_run:
        _ask_to_replace(_files(goals, output), yes)
    plan = _plan(settings, goals, places_are_given=bool(cpus))
    if dry_run:
        _print_plan(plan, goals)
        return
    _ask_to_write(plan, yes)
    keep_files_in_cache()
    from pyfio_virtio.cli.tuning import Tuning

    tuning = Tuning(plan, goals, output, runs, seed)
    context.exit(tuning.run(time_s, time_s - _age_s()))


def _age_s() -> float:
    """How long this command has been running, with the start of Python."""
    ticks = start_ticks(os.getpid())
    if ticks is None:  # without /proc
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


# ---- what is tried -----------------------------------------------------------------------------


def _disk(socket: str | None, backend: str | None) -> str:
    if socket and backend:
        raise UsageError(
            f"cannot tune both {socket} and {backend}", "one disk is tuned at a time", "name one"
        )
    return socket or backend or BUILTIN


def _settings(disk: str, lists: Mapping[str, tuple[str, ...]], said: Mapping[str, Any]) -> Settings:
    """What the user said, as a sweep has it."""
    for name in lists:
        if (flag := OWN_OPTIONS.get(name)) is not None:
            advice = f"use {flag}" if flag else ""
            raise UsageError(f"cannot set fio's option {name}", "tune sets it", advice)
    given = {name: value for name, value in said.items() if value not in (None, ())}
    settings = replace(Settings(), backend=(disk,), options=lists, controls=False, **given)
    settings = located(settings)
    settings.check(said=given)
    if len(settings.candidates) > 1:
        raise UsageError(
            f"cannot tune {' and '.join(each.name for each in settings.candidates)}",
            "these are several back-ends",
            "tune one of them, or compare them with pyfio-virtio sweep",
        )
    for each in settings.candidates:
        if each.socket:
            unix_sockets.check_present(each.socket)
    return settings


def _plan(settings: Settings, goals: Collection[str], places_are_given: bool) -> Plan:
    """What is tried, after the checks that a sweep makes of the values that the user named."""
    from pyfio_virtio.sweep import checks
    from pyfio_virtio.sweep.points import resolve
    from pyfio_virtio.tune.measuring import Plan, workloads
    from pyfio_virtio.tune.setups import as_sweep, tried

    sweep = resolve(as_sweep(settings), partial(click.echo, err=True))
    lists = {name: sweep.settings.options[name] for name in settings.options}
    lists |= {name: settings.options[name] for name in ("iodepth",) if name in settings.options}
    base = replace(sweep.settings, options=lists, one_at_a_time=False)
    found = tried(base, sweep.cores, places_are_given)
    if not any(each.axes for each in workloads(found, goals)):
        raise UsageError(
            "there is nothing to choose from",
            "each option has one value",
            "name several of one, such as --wait event,busy",
        )
    checks.check(sweep)
    return Plan(found, sweep)


def _print_plan(plan: Plan, goals: Collection[str]) -> None:
    from pyfio_virtio.tune.measuring import workloads
    from pyfio_virtio.tune.search import screen
    from pyfio_virtio.tune.setups import DEFAULTS, label

    for workload in workloads(plan.tried, goals):
        click.echo(f"# for {' and '.join(each.name for each in workload.goals)}")
        click.echo(plan.planned(workload.name, DEFAULTS, 1.0, 0.0).point.job.rstrip())
        for setup in screen(workload.axes)[1:]:
            click.echo(f"# or: {label(setup)}")
        click.echo()


# ---- questions ---------------------------------------------------------------------------------


def _files(goals: Collection[str], output: Path) -> list[Path]:
    """The job files that will be written."""
    return [output / each.file for each in GOALS if each.key in goals or not goals]


def _check_folders(output: Path, files: Sequence[Path], runs: Path | None) -> None:
    """Refuses folders and files that cannot be written, before a minute is spent."""
    check_folder(output)
    for each in files:
        if each.exists() and not each.is_file():
            raise UsageError(
                f"cannot write {each}", "it is not a file", "name another folder with -o"
            )
    if runs is not None:
        SweepFolder(runs).check_own()
        if (runs / RUNS).exists():
            raise UsageError(
                f"cannot keep the runs in {runs}", "it has runs already", "name a new folder"
            )


def _ask_to_replace(files: Sequence[Path], yes: bool) -> None:
    old = [str(each) for each in files if each.exists()]
    replaced = Reach(others=(f"replaces {', '.join(old)}",) if old else ())
    confirm("tune", replaced, yes, "name another folder with -o")


def _ask_to_write(plan: Plan, yes: bool) -> None:
    """Asks before a disk of somebody else is written."""
    from pyfio_virtio.sweep.points import reached

    found = reached(plan.sweep.points(), with_backends=False)
    confirm("tune", found, yes, "leave out the options that do this")
