# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller that the name `hosts` measures: python -m bench.many_hosts FOLDER HOSTS COPIES...

It does what `run --hosts` does, in its own process, so that the kernel counts for it alone, and
prints one object of JSON. Then it puts copies of the same results together, as if there were as
many hosts as each of COPIES says.
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from pyfio_virtio import run_hosts
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.hosts import combine, parts, together
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.checks import Versions
from pyfio_virtio.hosts.combine import HostPart
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.one_client import Task
from pyfio_virtio.hosts.together import HostResult
from pyfio_virtio.machine import folders
from pyfio_virtio.results.results import FIO_JSON
from pyfio_virtio.sizes import parse_size

JOB = "job.fio"
DISK = BackendSpec(storage="null", size_bytes=parse_size("64M"))


@dataclass(frozen=True)
class Merge:
    """Results of so many hosts, read from files and combined."""

    hosts: int
    read_s: float
    combine_s: float
    peak_bytes: int  # of the process, until then


@dataclass(frozen=True)
class Controlled:
    """What one run on several hosts took."""

    hosts: int
    own_cpu_s: float  # of the controller, from the plan to the combined result
    clients_cpu_s: float  # of the processes fio --client
    peak_bytes: int  # of the controller
    ready_s: float  # from the start of the plan until every host has its disk
    first_io_s: float  # from the start of the plan to the first I/O of the last host
    run_skew_ms: float  # between the first and the last host whose fio was told to run
    start_skew_ms: float  # the same, when fio said that its jobs start
    skew_ms: float  # the same, by the logs of I/O: the one that is reported
    json_bytes: int  # fio's json+ of one host
    result_bytes: int  # all files of one host
    merges: tuple[Merge, ...]


def name_of(number: int) -> str:
    return f"h{number}"


def hosts_in(folder: Path, count: int) -> list[Host]:
    names = [name_of(number) for number in range(count)]
    return [Host(name, Address(path=f"{folder}/{name}.sock")) for name in names]


def measure(folder: Path, count: int, copies: Sequence[int]) -> Controlled:
    begun_s = time.time()
    cpu_s = _cpu_s(resource.RUSAGE_SELF)
    plan = run_hosts.plan(hosts_in(folder, count), [folder / JOB], [], DISK)
    with (
        folders.run_folder(plan.local.folder),
        together.controller(plan.hosts, plan.local.folder, plan.local.fio) as hosts,
    ):
        hosts.connect(Versions(plan.local.fio.release, engine.version()))
        served = hosts.prepare(plan.disks)
        ready_s = time.time() - begun_s
        tasks = {
            name: Task(
                job.to_bytes(), _made(plan.local.folder / name), served[name].disk, plan.limit_s
            )
            for name, job in plan.jobs.items()
        }
        clients_s = _cpu_s(resource.RUSAGE_CHILDREN)
        results = hosts.run(tasks)
        clients_s = _cpu_s(resource.RUSAGE_CHILDREN) - clients_s
        hosts.release()
        found, merge = _merged(results, tasks, count, plan.ramp_s)
        own_s = _cpu_s(resource.RUSAGE_SELF) - cpu_s
        across = combine.combined(found)
        if across.error:
            raise RuntimeError(across.error)
        places = [each.folder for each in tasks.values()]
        sizes = [sum(each.stat().st_size for each in one.iterdir()) for one in places]
        return Controlled(
            hosts=count,
            own_cpu_s=own_s,
            clients_cpu_s=clients_s,
            peak_bytes=merge.peak_bytes,
            ready_s=ready_s,
            first_io_s=max(part.measured().begin for part in found) / 1e9 - begun_s,
            run_skew_ms=_skew_ms(
                [each.collected.run_ns if each.collected else None for each in results]
            ),
            start_skew_ms=_skew_ms(
                [each.collected.start_ns if each.collected else None for each in results]
            ),
            skew_ms=across.across.start_skew_ms,
            json_bytes=sum((one / FIO_JSON).stat().st_size for one in places) // count,
            result_bytes=sum(sizes) // count,
            merges=(merge, *(_merged(results, tasks, each, plan.ramp_s)[1] for each in copies)),
        )


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def _merged(
    results: Sequence[HostResult], tasks: dict[str, Task], count: int, ramp_s: float
) -> tuple[list[HostPart], Merge]:
    """The parts of `count` hosts; if there are not so many results, they are read again."""
    begun_s = time.perf_counter()
    found = [
        replace(parts.part(each, tasks[each.host.name].folder, ramp_s), name=name_of(number))
        for number, each in enumerate(islice(cycle(results), count))
    ]
    read_s = time.perf_counter()
    combine.combined(found)
    end_s = time.perf_counter()
    return found, Merge(count, read_s - begun_s, end_s - read_s, peak_bytes("self"))


def _skew_ms(times_ns: Sequence[int | None]) -> float:
    """The time from the first to the last; every host told its own."""
    told = [each for each in times_ns if each]
    if len(told) < len(times_ns):
        raise RuntimeError("a host did not tell when its job started")
    return (max(told) - min(told)) / 1e6


def _cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def peak_bytes(pid: int | str) -> int:
    """The peak of the memory that a process had resident; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) << 10 if found else 0


if __name__ == "__main__":
    place, hosts_count, *more = sys.argv[1:]
    print(json.dumps(asdict(measure(Path(place), int(hosts_count), [int(each) for each in more]))))
