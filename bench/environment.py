# SPDX-License-Identifier: GPL-2.0-or-later
"""Under which conditions a bench ran, as far as they can be told.

Called once a bench, in the main thread; what cannot be found out is absent, and nothing fails.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import psutil

from bench.run import Cores
from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import host

# More runnable processes than this, before the bench begins, disturb it.
QUIET_LOAD = 0.5


def describe(cores: Cores, rounds: int) -> dict[str, object]:
    """To be kept with the results."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "fio": fio.find().release,
        "engine": engine.version(),
        "commit": _said("git", "describe", "--always", "--dirty"),
        "qemu_storage_daemon": _said("qemu-storage-daemon", "--version"),
        "host": asdict(host.describe()),
        "cores": asdict(cores),
        "rounds": rounds,
    }


def summary(environment: Mapping[str, object]) -> str:
    """The conditions in a line, to stand above a table."""
    machine = host.describe()
    names = " ".join(str(environment[key]) for key in ("fio", "qemu_storage_daemon"))
    what = f"{machine.cpus} CPUs of {machine.cpu_model}, Linux {machine.kernel}"
    when = f"{environment['date']}, commit {environment['commit']}"
    return f"{when}; {names}; {what}; load {machine.load:.1f}; {environment['rounds']} rounds"


def load() -> float:
    return host.describe().load


def steal_s() -> float:
    """CPU time that the machine below took from this one since it booted; 0 where unknown."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def _said(*command: str) -> str:
    """The first line of what a command says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = done.stdout.splitlines()
    return lines[0] if lines else "unknown"
