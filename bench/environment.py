# SPDX-License-Identifier: GPL-2.0-or-later
"""Describes the conditions under which a bench ran.

It is called once for each bench, in the main thread. A version that cannot be found is "unknown",
and is no failure.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import psutil

from bench import page
from bench.run import Cores
from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import host

# If the load is higher before the bench begins, other processes disturb the bench.
QUIET_LOAD = 0.5


def describe(cores: Cores, rounds: int, quick: bool = False) -> dict[str, object]:
    """The conditions, which are stored with the results."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "fio": fio.find().release,
        "engine": engine.version(),
        "commit": _commit(),
        "qemu_storage_daemon": _said("qemu-storage-daemon", "--version"),
        "host": asdict(host.describe()),
        "cores": asdict(cores),
        "rounds": rounds,
        "quick": quick,
    }


def _commit() -> str:
    """The commit, and whether anything differs from it except what the bench itself writes."""
    own = (f":!bench/{page.PAGE}", f":!bench/{page.RESULTS}")
    changed = _said("git", "status", "--porcelain", "--untracked-files=no", "--", ".", *own)
    return _said("git", "rev-parse", "--short", "HEAD") + ("-dirty" if changed != "unknown" else "")


def summary(environment: Mapping[str, object]) -> str:
    """The conditions in one line, for the text near a table."""
    machine = host.describe()
    names = " ".join(str(environment[key]) for key in ("fio", "qemu_storage_daemon"))
    what = f"{machine.cpus} CPUs of {machine.cpu_model}, Linux {machine.kernel}"
    when = f"{environment['date']}, commit {environment['commit']}"
    return f"{when}; {names}; {what}; load {machine.load:.1f}; {environment['rounds']} rounds"


def load() -> float:
    return host.describe().load


def steal_s() -> float:
    """CPU time that the hypervisor took from this machine since it booted; 0 if unknown."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def _said(*command: str) -> str:
    """The first line of a command's output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = done.stdout.splitlines()
    return lines[0] if lines else "unknown"
