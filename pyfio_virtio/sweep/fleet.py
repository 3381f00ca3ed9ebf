# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of a sweep on several hosts at the same time, and the records of the hosts.

Owns the steps of such a run from the connections to the records: one for each host, and one for all
of them together. The hosts end their back-ends after each run. Called from the main thread.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.engine import engine
from pyfio_virtio.fio.directions import summarise
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.fio.job import parse
from pyfio_virtio.hosts import combine, hosts_file, one_client, parts, together
from pyfio_virtio.hosts.checks import Known, Versions
from pyfio_virtio.hosts.combine import Combined, HostPart
from pyfio_virtio.hosts.host_errors import HostError
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.one_client import Task
from pyfio_virtio.hosts.together import Controller, Disk, HostsError, Served
from pyfio_virtio.results.record import Record, Scalar
from pyfio_virtio.results.results import HOSTS, JOB, writing
from pyfio_virtio.sweep import outcome
from pyfio_virtio.sweep.job import SCRATCH, Wanted
from pyfio_virtio.sweep.one_run import Trial
from pyfio_virtio.sweep.outcome import Asked
from pyfio_virtio.sweep.points import Sweep


@dataclass(frozen=True)
class _Done:
    """What is known of one host after a run."""

    part: HostPart
    command: str = ""  # of its fio, as it was started here
    served: Served | None = None
    wall_s: float | None = None


class HostFleet:
    """The hosts of a sweep, and their connections, which last from run to run."""

    def __init__(self, hosts: Sequence[Host], controller: Controller, program: Fio) -> None:
        self._hosts = hosts
        self._controller = controller
        self._program = program
        self._ours = Versions(program.release, engine.version())

    def check(self, wanted: Sequence[tuple[Wanted, int]]) -> list[str]:
        """Lets the hosts prepare each disk, and end it again. Returns warnings. Raises HostsError
        with every host that cannot take part.
        """
        warnings = self._controller.connect(self._ours)
        for disk, count in dict.fromkeys(wanted):
            self._controller.prepare(self._disks(self._hosts[:count], disk))
            self._controller.release()
        return warnings

    def run(
        self, trial: Trial, asked: Asked, working: Path, patience_s: float
    ) -> tuple[Record, Sequence[Record]]:
        """Makes one run; gives its record, and those of the hosts."""
        chosen = self._hosts[: trial.hosts]
        folders = {each.name: working / HOSTS / each.name for each in chosen}
        with writing(working):
            for folder in folders.values():
                folder.mkdir(parents=True)
        try:
            self._controller.connect(self._ours, list(folders))
            served = self._controller.prepare(self._disks(chosen, trial.wanted))
        except HostsError as failure:
            return _records(asked, _refused(failure), {}, working)
        limit_s = trial.ramp_s + trial.runtime_s + patience_s
        job = parse(files.read_text(working / JOB))
        tasks = {
            each.name: Task(
                each.placed(job).to_bytes(),
                folders[each.name],
                served[each.name].disk,
                limit_s,
            )
            for each in chosen
        }
        results = self._controller.run(tasks)
        self._controller.release()
        done = [
            _Done(
                parts.part(each, folders[each.host.name], trial.ramp_s),
                shlex.join(one_client.command(self._program, each.host.name)),
                served[each.host.name],
                round(each.ran.wall_s, 6),
            )
            for each in results
        ]
        return _records(asked, done, self._controller.known(), working)

    def _disks(self, hosts: Sequence[Host], wanted: Wanted) -> Mapping[str, Disk]:
        return {each.name: disk_of(each, wanted) for each in hosts}


def disk_of(host: Host, wanted: Wanted) -> Disk:
    """The disk of a point on this host. The host makes the scratch file itself."""
    if wanted.spec is None:
        return wanted.socket or None
    is_scratch = wanted.spec.storage == f"file:{SCRATCH}"
    spec = replace(wanted.spec, storage=SCRATCH) if is_scratch else wanted.spec
    disk = host.disk(spec)
    device = any(each.startswith("device=scsi") for each in spec.options)
    return disk.as_scsi() if device and not isinstance(disk, str) else disk


def _refused(failure: HostsError) -> list[_Done]:
    """The hosts that could not take part. The others did not run."""
    failed = (each for each in failure.failures if isinstance(each, HostError))
    return [_Done(HostPart(each.host.name, error=each.why)) for each in failed]


# ---- records ------------------------------------------------------------------------------------


def _records(
    asked: Asked, done: Sequence[_Done], known: Mapping[str, Known], working: Path
) -> tuple[Record, Sequence[Record]]:
    whole = combine.combined([each.part for each in done])
    of_hosts = [_of_host(asked, each, whole, known, working) for each in done]
    counted = [each.counters for each in of_hosts]
    names = dict.fromkeys(name for each in counted for name in each)
    good = whole.error is None
    record = Record(
        point=asked.point,
        repeat=asked.repeat,
        order=asked.order,
        started=asked.begun(),
        elapsed_s=whole.across.window_s,
        wall_s=max((each.wall_s for each in done if each.wall_s is not None), default=None),
        fio_command=" & ".join(each.command for each in done if each.command),
        backend_command="",
        options={**of_hosts[0].options} if of_hosts else dict(asked.options),
        total=whole.total,
        directions=whole.directions,
        counters={name: sum(each.get(name, 0) for each in counted) for name in names if good},
        fio_cpu=whole.fio_cpu,
        backend_cpu=whole.backend_cpu,
        across=whole.across,
        host=_shared([each.host for each in of_hosts]),
        error=whole.error,
    )
    return record, of_hosts


def _of_host(
    asked: Asked, done: _Done, whole: Combined, known: Mapping[str, Known], working: Path
) -> Record:
    part, folder = done.part, working / HOSTS / done.part.name
    good = part.problem is None
    directions = part.job.directions if good else {}
    return Record(
        point=asked.point,
        repeat=asked.repeat,
        order=asked.order,
        started=asked.begun(),
        elapsed_s=part.job.runtime_ms / 1000 if good else 0.0,
        wall_s=done.wall_s,
        fio_command=done.command,
        backend_command=done.served.command if done.served else "",
        options=outcome.options_of(asked, folder),
        total=summarise(directions.values()),
        directions={name: summarise([each]) for name, each in directions.items() if each.ios},
        counters=outcome.counters_of(folder),
        fio_cpu=part.fio_cpu,
        backend_cpu=part.backend_cpu,
        on_host=whole.on_hosts[part.name],
        host={
            **(known[part.name].facts if part.name in known else {}),
            **outcome.disk_of(folder),
        },
        error=part.problem,
    )


def _shared(facts: Sequence[Mapping[str, Scalar]]) -> dict[str, Scalar]:
    """The facts that are the same on all hosts."""
    if not facts:
        return {}
    return {
        name: value
        for name, value in facts[0].items()
        if all(each.get(name) == value for each in facts)
    }


@contextmanager
def fleet_of(sweep: Sweep, private: Path) -> Iterator[HostFleet | None]:
    """The hosts of the sweep; None if all runs are on this machine. Their connections end with the
    block. `private` is a private folder, which need not exist yet.
    """
    if not sweep.hosts:
        yield None
        return
    hosts = hosts_file.read(Path(sweep.settings.hosts))
    program = next(iter(sweep.programs.fios.values()))
    with together.controller(hosts, private, program) as controller:
        yield HostFleet(hosts, controller, program)
