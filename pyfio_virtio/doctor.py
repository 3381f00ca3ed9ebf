# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks whether this machine can run jobs and measure well, and says how to fix what is wrong.

Each check gives a finding and, if something can be done, a remedy. Called from the main thread.
It starts fio for a moment and changes nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pyfio_virtio.backends import kinds
from pyfio_virtio.builds import builds, cache
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import folders, host
from pyfio_virtio.results.record import BUSY_LOAD
from pyfio_virtio.sizes import format_size

State = Literal["ok", "note", "failure"]
# A large job needs this much memory: 128 requests of 1 MiB.
_WANTED_BYTES = 128 << 20
_LONGEST_NAME = "disk.sock"


@dataclass(frozen=True)
class Check:
    name: str
    state: State  # note: runs work, but read this; failure: they cannot
    finding: str
    remedy: str = ""


def examine(program: str = "fio") -> list[Check]:
    machine = host.describe()
    found: list[Check] = []
    found.append(_attempt("fio", lambda: _fio(program)))
    found.append(_attempt("engine", _engine))
    if found[0].state == "ok":
        found.append(_attempt("fio with engine", lambda: _together(program)))
    found.append(_cache())
    found.extend(_backend(kind) for kind in kinds.VHOST_USER_KINDS)
    found.append(_attempt("folder for sockets", _folder))
    found.extend(huge_pages(machine))
    found.extend((_cpus(machine), load(machine), _governor(machine)))
    found.extend((_memlock(machine), _timer_slack(machine)))
    return found


def works(checks: list[Check]) -> bool:
    return all(check.state != "failure" for check in checks)


def _attempt(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except PyfioVirtioError as error:
        return Check(name, "failure", f"{error.what}: {error.why}", error.next_step)


def _fio(program: str) -> Check:
    found = fio.find(program)
    return Check("fio", "ok", f"{found.release}, {found.path}")


def _engine() -> Check:
    built_for = engine.fio_release() or "Python alone"
    return Check("engine", "ok", f"{engine.version()} for {built_for}, {engine.folder()}")


def _together(program: str) -> Check:
    found = fio.find(program)
    library = builds.folder(found)
    return Check("fio with engine", "ok", f"{found.release} loads {library / engine.NAME}")


def _cache() -> Check:
    names = ", ".join(cache.listed())
    made = names or "none; pyfio-virtio build-engine makes one for a fio that needs its own"
    return Check("engines in the cache", "ok", f"{made}; folder {cache.of_version()}")


def _folder() -> Check:
    """Runs need room for their sockets there, with names that fit into an address."""
    folder = folders.find_state_folder()
    path = folder or folders.state_folder()
    folders.check_writable(path)
    folders.check_socket_path(str(folders.run_folder_path(path) / _LONGEST_NAME))
    will_be = "" if folder else ", which is made when it is needed"
    return Check("folder for sockets", "ok", f"{path}{will_be}")


def _backend(kind: str) -> Check:
    program = kinds.KINDS[kind]
    name = f"back-end {kind}"
    if program.is_installed():
        return Check(name, "ok", f"{program.program} is installed")
    return Check(name, "note", f"{program.program} is not installed", program.how_to_install)


def huge_pages(machine: host.Host) -> Iterator[Check]:
    """One size with enough free pages will do. If none has enough, each says how to get more."""
    enough = any(pages.free >= _wanted(pages) for pages in machine.hugepages)
    for pages in machine.hugepages:
        name = f"huge pages of {format_size(pages.size_bytes)}"
        finding = f"{pages.free} free of {pages.total}"
        if enough:
            yield Check(name, "ok", finding)
        else:
            number = pages.total - pages.free + _wanted(pages)
            finding += "; ordinary pages are used instead"
            yield Check(name, "note", finding, f"echo {number} | sudo tee {pages.file}")


def _wanted(pages: host.HugePages) -> int:
    return -(-_WANTED_BYTES // pages.size_bytes)


def _cpus(machine: host.Host) -> Check:
    finding = f"{machine.cpus} of {machine.cpu_model}, kernel {machine.kernel}"
    if machine.cpus > 1:
        return Check("CPUs", "ok", finding)
    remedy = "use wait=event or wait=sleepy: fio and the back-end share a core"
    return Check("CPUs", "note", finding, remedy)


def _governor(machine: host.Host) -> Check:
    if machine.governor in (None, "performance"):
        return Check("governor", "ok", machine.governor or "none: Linux does not set the frequency")
    finding = f"{machine.governor}; the frequency changes while you measure"
    return Check("governor", "note", finding, "sudo cpupower frequency-set -g performance")


def load(machine: host.Host) -> Check:
    """Results on a busy machine can be wrong by a factor of many, if no CPU is left for them."""
    finding = f"load average of the last minute: {machine.load:.2f} on {_cpus_of(machine)}"
    if machine.load < BUSY_LOAD * machine.cpus:
        return Check("other work", "ok", finding)
    remedy = "before you measure, end other programs, or wait until they end"
    return Check("other work", "note", f"{finding}; results may scatter", remedy)


def _cpus_of(machine: host.Host) -> str:
    return "1 CPU" if machine.cpus == 1 else f"{machine.cpus} CPUs"


def _memlock(machine: host.Host) -> Check:
    if machine.memlock_bytes is None:
        return Check("locked memory", "ok", "no limit")
    finding = f"{format_size(machine.memlock_bytes)} at most, enough for the engine"
    return Check("locked memory", "ok", f"{finding}; SPDK needs ulimit -l unlimited")


def _timer_slack(machine: host.Host) -> Check:
    slack = machine.timer_slack_ns
    if slack is None:
        return Check("timer slack", "note", "unknown", "sleeps of wait=sleepy may be longer")
    return Check("timer slack", "ok", f"{slack} ns; wait=sleepy sets its own")
