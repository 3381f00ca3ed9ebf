# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that is checked before the first run of a sweep, also for --dry-run.

Owns the order of the checks: first those that only look, then fio's, and then the engine's. Each
raises one error for the first thing that cannot work. Called from the main thread; no run is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from pyfio_virtio.backends import disk_files, unix_sockets, writers
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import cpu_lists, folders, signals
from pyfio_virtio.sweep.fleet import fleet_of
from pyfio_virtio.sweep.job import DISK_VARIABLE, SCRATCH, engine_name, placement
from pyfio_virtio.sweep.option_checks import Asked, Checker
from pyfio_virtio.sweep.points import Planned, Sweep
from pyfio_virtio.sweep.rehearsal import rehearse


def check(sweep: Sweep) -> list[str]:
    """Refuses a sweep that cannot work on this machine, or on its hosts. Returns warnings."""
    points = sweep.points()
    if sweep.hosts:
        _check_options(sweep, points)
        return _check_hosts(sweep, points)
    _check_cpus(sweep)
    _check_disks(points)
    _check_options(sweep, points)
    rehearse(sweep)
    return []


def _check_hosts(sweep: Sweep, points: Sequence[Planned]) -> list[str]:
    """Lets the hosts prepare every disk for a moment."""
    private = folders.run_folder_path()
    wanted = [(each.wanted, each.choice.hosts) for each in points]
    with (
        signals.ending_tidily(),
        folders.run_folder(private),
        fleet_of(sweep, private) as hosts,
    ):
        return hosts.check(wanted) if hosts else []


def _check_cpus(sweep: Sweep) -> None:
    for each in sweep.settings.cpus:
        where = placement(each, sweep.cores)
        for cpus in (where.fio, where.backend):
            if cpus:
                cpu_lists.check(cpus, f"--cpus {each}")


def _check_disks(points: Sequence[Planned]) -> None:
    for socket in dict.fromkeys(each.wanted.socket for each in points if each.wanted.socket):
        unix_sockets.check_served(socket)
    for planned in points:
        spec, file = planned.wanted.spec, planned.wanted.file
        path = spec.file if spec else Path(file) if file else None
        if path and path != Path(SCRATCH) and not path.is_socket():
            # fio itself opens a file as the job needs it.
            read_only = spec is None or spec.read_only
            disk_files.check(path, read_only)
            writers.check(path, read_only)


def _check_options(sweep: Sweep, points: Sequence[Planned]) -> None:
    ordered = sorted(points, key=lambda each: each.choice.programs)
    for pair, group in groupby(ordered, lambda each: each.choice.programs):
        program = sweep.programs.fios[pair[0]]
        environment = {
            DISK_VARIABLE: "/",
            "LD_LIBRARY_PATH": fio.library_path(sweep.programs.folder(pair)),
        }
        checker = Checker(program, environment, sweep.engine_options)
        checker.check([_asked(each) for each in group])


def _asked(planned: Planned) -> Asked:
    choice = planned.choice
    return Asked(
        label=choice.label,
        engine=engine_name(choice),
        options=choice.options,
        job=planned.point.job,
        jobs=choice.number("numjobs"),
    )
