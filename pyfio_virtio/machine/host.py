# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about this machine that influence measurements: CPUs, kernel, memory, limits.

Reads /proc and /sys and changes nothing. A file that cannot be read counts as absent. Any thread
may call.
"""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.machine.facts import read

_CPU = Path("/sys/devices/system/cpu")
_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_HUGEPAGES = Path("/sys/kernel/mm/hugepages")


@dataclass(frozen=True)
class HugePages:
    """The huge pages of one size."""

    size_bytes: int
    total: int
    free: int
    file: str  # the file that sets their number


@dataclass(frozen=True)
class Host:
    cpu_model: str
    cpus: int  # that this process may run on
    governor: str | None  # of the first CPU; None if Linux does not set the frequency
    kernel: str
    mitigations: str  # on, or off by the kernel's command line
    load: float  # the load average of the last minute
    memlock_bytes: int | None  # None: no limit
    timer_slack_ns: int | None
    hugepages: tuple[HugePages, ...]

    def facts(self) -> dict[str, str | int | float | None]:
        """What records say of the host, by name."""
        free = {f"hugepages_{each.size_bytes >> 20}m_free": each.free for each in self.hugepages}
        return {
            "cpu_model": self.cpu_model,
            "cpus": self.cpus,
            "governor": self.governor,
            "kernel": self.kernel,
            "mitigations": self.mitigations,
            "load": round(self.load, 2),
            **free,
        }


def describe() -> Host:
    memlock, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    slack = read(Path("/proc/self/timerslack_ns"))
    options = (read(Path("/proc/cmdline")) or "").split()
    return Host(
        cpu_model=_cpu_model(),
        cpus=len(os.sched_getaffinity(0)),
        governor=read(_CPU / "cpu0" / "cpufreq" / "scaling_governor"),
        kernel=os.uname().release,
        mitigations="off" if "mitigations=off" in options else "on",
        load=os.getloadavg()[0],
        memlock_bytes=None if memlock == resource.RLIM_INFINITY else memlock,
        timer_slack_ns=int(slack) if slack else None,
        hugepages=_hugepages(),
    )


def _cpu_model() -> str:
    for line in (read(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return os.uname().machine


def _hugepages() -> tuple[HugePages, ...]:
    folders = sorted(_HUGEPAGES.glob("hugepages-*kB"), key=_kib)
    return tuple(
        HugePages(_kib(folder) * 1024, total, free, str(folder / "nr_hugepages"))
        for folder in folders
        for total, free in [(_number(folder / "nr_hugepages"), _number(folder / "free_hugepages"))]
    )


def _kib(folder: Path) -> int:
    return int(folder.name.removeprefix("hugepages-").removesuffix("kB"))


def _number(path: Path) -> int:
    return int(read(path) or 0)


def fio_clock() -> str | None:
    """The value of fio's clocksource=: cpu if Linux itself uses the CPU's counter as its clock.

    Otherwise None, and fio decides. By itself fio tests the counter at each start, and if two CPUs
    seem to be some cycles apart, which is a matter of chance, it uses clock_gettime(2). Each I/O
    then takes about 80 ns longer.
    """
    return "cpu" if read(_CLOCK) in ("tsc", "arch_sys_counter") else None


def cores() -> list[list[int]]:
    """The CPUs that this process may run on, in order. The CPUs of a core are in one list."""
    found: dict[str, list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = read(_CPU / f"cpu{cpu}" / "topology" / "thread_siblings_list")
        found.setdefault(siblings or str(cpu), []).append(cpu)
    return list(found.values())
