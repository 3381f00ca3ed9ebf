# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one point of a finished sweep again.

Finds the point by its hash in the sweep's plan.toml, with the versions of that sweep, and prepares
to run it with the present programs. The folder may come from anybody, so reached() tells what
running the point would do, before it is run. Called from the main thread.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyfio_virtio.errors import UsageError
from pyfio_virtio.reach import Reach, joined
from pyfio_virtio.results.record import Record
from pyfio_virtio.sweep import programs
from pyfio_virtio.sweep.job import SCRATCH
from pyfio_virtio.sweep.points import Planned, Sweep, reached, resolve
from pyfio_virtio.sweep.run import Watcher, run_again
from pyfio_virtio.sweep.settings import Settings, read_settings

_ROOT = 0


@dataclass(frozen=True)
class Replay:
    """A point of an earlier sweep, prepared to run with the present programs."""

    plan: Path  # the plan.toml that it comes from
    sweep: Sweep
    planned: Planned

    def reached(self) -> Reach:
        """What the run may change and which commands it would run."""
        return joined((reached([self.planned], True), self._new_file(), _of_its_owner(self.plan)))

    def _new_file(self) -> Reach:
        """A file that the run would make, at the path that the folder names."""
        needed = self.planned.wanted
        file = needed.spec.file if needed.spec else Path(needed.file or SCRATCH)
        if file is None or file == Path(SCRATCH) or file.exists():
            return Reach()
        return Reach((str(file),))

    def run(self, output: Path, watcher: Watcher) -> Record:
        """Runs the point, and keeps the result in `output`."""
        return run_again(self.sweep, self.planned, output, watcher)


def reached_to_prepare(plan: Path, program: str | None) -> Reach:
    """Which programs prepare() would run because the folder names them."""
    settings, _ = _settings(plan, program)
    return programs.reached(() if program else settings.fio, settings.engine_build)


def _settings(plan: Path, program: str | None) -> tuple[Settings, Mapping[str, Any]]:
    settings, found = read_settings(plan)
    if program and len(settings.fio) > 1:
        raise UsageError(f"{plan} compares several programs fio", "", "leave out --fio")
    return (replace(settings, fio=(program,)) if program else settings), found


def prepare(
    plan: Path, point: str, program: str | None, tell: Callable[[str], None] | None = None
) -> Replay:
    """Finds the point, and prepares to run it. With `program` it is run by another fio."""
    settings, found = _settings(plan, program)
    now = resolve(settings, tell)
    then = replace(now, versions={**now.versions, **found.get("versions", {})})
    planned = _find(then, point, found.get("maximum", {}))
    return Replay(plan, now, now.planned(planned.choice, planned.rate_iops))


def _find(then: Sweep, point: str, maximum: dict[str, float]) -> Planned:
    for planned in (*then.points(), *then.rated_points(maximum)):
        if planned.point.hash == point:
            return planned
    raise UsageError(
        f"cannot run point {point} again",
        "it is not a point of the sweep's plan.toml on this machine",
        "its job file is in its folder, which pyfio-virtio results show prints",
    )


def _of_its_owner(plan: Path) -> Reach:
    status = plan.stat()
    if status.st_uid not in (os.getuid(), _ROOT):
        return Reach(
            others=(f"takes its job from {plan}, which belongs to {_name(status.st_uid)}",)
        )
    if status.st_mode & stat.S_IWOTH:
        return Reach(others=(f"takes its job from {plan}, which anybody may change",))
    return Reach()


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
