# SPDX-License-Identifier: GPL-2.0-or-later
"""One point of a finished sweep, run once more.

Finds the point by its hash from the sweep's plan.toml, with the versions of that day, and
runs it with the programs of today. Called from the main thread.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pyfio_virtio.errors import UsageError
from pyfio_virtio.record import Record
from pyfio_virtio.sweep_points import Planned, Sweep, resolve
from pyfio_virtio.sweep_run import Watcher, run_again
from pyfio_virtio.sweep_settings import read_settings


def replay(plan: Path, point: str, output: Path, watcher: Watcher, program: str) -> Record:
    """The point's new run, which is kept in `output`."""
    settings, found = read_settings(plan)
    now = resolve(settings, program)
    then = replace(now, versions=found.get("versions", now.versions))
    planned = _find(then, point, found.get("maximum", {}))
    today = now.planned(planned.choice, planned.rate_iops)
    return run_again(now, today, output, watcher)


def _find(then: Sweep, point: str, maximum: dict[str, float]) -> Planned:
    for planned in (*then.points(), *then.rated_points(maximum)):
        if planned.point.hash == point:
            return planned
    raise UsageError(
        f"cannot run point {point} again",
        "it is not among the points of the sweep's plan.toml on this machine",
        "its job file lies in its folder: results show tells where",
    )
