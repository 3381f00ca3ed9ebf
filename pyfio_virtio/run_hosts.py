# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of a job on several hosts: what runs on which disk there, and what came out.

plan() makes a HostsPlan, as run.py makes a Plan. carry_out() checks all hosts, lets them prepare
their disks, and runs the job on all of them at the same time. Called from the main thread. Nothing
is printed here, and the user is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio import run as runs
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import Job, Section
from pyfio_virtio.hosts import combine, logs, parts, together
from pyfio_virtio.hosts.checks import Versions
from pyfio_virtio.hosts.combine import Combined, HostPart
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.one_client import DISK_VARIABLE, Task
from pyfio_virtio.hosts.together import Disk
from pyfio_virtio.machine import folders, signals
from pyfio_virtio.reach import PATHS, Reach, Use
from pyfio_virtio.results.results import COUNTERS, HOSTS
from pyfio_virtio.sizes import parse_seconds

# How long fio may run beyond the times that its job says.
PATIENCE_S = 60.0
_TIMES = ("runtime", "ramp_time", "startdelay")


@dataclass(frozen=True)
class HostsPlan:
    local: runs.Plan  # what would run on this machine
    hosts: tuple[Host, ...]
    jobs: Mapping[str, Job]  # by the name of the host
    disks: Mapping[str, Disk]
    has_logs: bool  # of ours, from which the rates over time are read
    ramp_s: float
    limit_s: float | None  # from the start of the jobs; None: they say no time

    def describe(self) -> str:
        names = ", ".join(each.name for each in self.hosts)
        return f"{self.local.fio.release} runs {self.local.title} on {names}"

    def reach(self) -> Reach:
        """What the job may change on the hosts that was not made for it."""
        found = self.local.reach()
        writes = any(each.writing() for each in self.jobs.values())
        disks = [_lasting(host, self.disks[host.name]) for host in self.hosts] if writes else []
        return Reach((*found.written, *filter(None, disks)), found.others)

    def script(self) -> str:
        """What carry_out() would do, for --dry-run."""
        lines = []
        for host in self.hosts:
            disk = self.disks[host.name]
            shown = disk.describe() + disk.details() if isinstance(disk, BackendSpec) else disk
            lines += [f"# {host}: {shown}", self.jobs[host.name].text()]
        return "\n".join(lines)


def plan(
    hosts: Sequence[Host],
    job_files: Sequence[Path],
    fio_options: Sequence[str],
    usual: BackendSpec,
    cpus: str | None = None,
    program: str = "fio",
    converting: bool = False,
    tell: Callable[[str], None] | None = None,
) -> HostsPlan:
    """Reads the job, and checks what can be checked without the hosts. `usual` is the disk, and
    `cpus` the place, of hosts that have none of their own.
    """
    if len(job_files) > 1:
        raise UsageError(
            f"cannot run {len(job_files)} job files on hosts", "", "put the jobs into one file"
        )
    # A disk in our memory stands for those of the hosts: it has the queues that the job needs.
    stand_in = BackendSpec(size_bytes=usual.size_bytes, block_size=usual.block_size)
    local = runs.plan(
        *(job_files, fio_options, runs.Disk(stand_in), program), converting=converting, tell=tell
    )
    if local.program_options:
        raise UsageError(
            f"cannot pass {local.program_options[0]} to fio",
            "options of the program fio do not travel to hosts",
            "leave it out",
        )
    spec = local.disk.spec or stand_in
    job, has_logs = _travelling(local.jobs[0])
    is_scsi = any(each.startswith("device=scsi") for each in spec.options)
    placed = {each.name: replace(each, cpus=each.cpus or cpus) for each in hosts}
    return HostsPlan(
        local=local,
        hosts=tuple(hosts),
        jobs={name: each.placed(job) for name, each in placed.items()},
        disks={name: _disk(each, usual, spec.queues, is_scsi) for name, each in placed.items()},
        has_logs=has_logs,
        ramp_s=max(_seconds(each, "ramp_time") for each in job.sections()),
        limit_s=_limit_s(job),
    )


def _travelling(job: Job) -> tuple[Job, bool]:
    """The job as it is sent to hosts, and whether it has our logs."""
    sections = job.sections()
    for option, use in PATHS.items():
        values = [each.options[option] for each in sections if option in each.options]
        if use is Use.LOG and any("/" in each for each in values):
            raise UsageError(
                f"cannot write {option}={values[0]}",
                "logs of hosts come into the folder of the run",
                "give it a name without /",
            )
    disk = f"${{{DISK_VARIABLE}}}"
    options: dict[str, str | None] = {"filename": disk}
    if any("replay_redirect" in each.options for each in sections):
        options["replay_redirect"] = disk
    has_logs = not any(name in each.options for each in sections for name in logs.LOG_OPTIONS)
    if has_logs:
        options |= logs.LOG_OPTIONS
    job = job.with_options(options)
    return job.with_engine_option("stats_file", COUNTERS), has_logs


def _disk(host: Host, usual: BackendSpec, queues: int, is_scsi: bool) -> Disk:
    disk = host.disk(replace(usual, queues=queues))
    return disk.as_scsi() if isinstance(disk, BackendSpec) and is_scsi else disk


def _lasting(host: Host, disk: Disk) -> str:
    """A disk on a host that was not made for the run; "" if it was."""
    if isinstance(disk, str):
        return f"{disk} on {host.name}"
    if disk is None or disk.file is None or disk.read_only:
        return ""
    return f"{disk.file} on {host.name}"


def _seconds(section: Section, name: str) -> float:
    try:
        return parse_seconds(section.options.get(name, "0"))
    except UsageError:
        return 0.0  # fio says what is wrong with it


def _limit_s(job: Job) -> float | None:
    """How long the jobs may run, even if they run one after the other."""
    sections = job.sections()
    if not all(_seconds(each, "runtime") for each in sections):
        return None
    return PATIENCE_S + sum(_seconds(each, name) for each in sections for name in _TIMES)


# ---- the run ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HostsResult:
    parts: tuple[HostPart, ...]
    combined: Combined


def carry_out(plan: HostsPlan, tell: Callable[[str], None]) -> HostsResult:
    """Runs the plan to its end. Raises HostsError if a host cannot take part; then nothing has
    run. `tell` gets warnings before the run.
    """
    ours = Versions(plan.local.fio.release, engine.version())
    with (
        signals.ending_tidily(),
        folders.run_folder(plan.local.folder),
        together.controller(plan.hosts, plan.local.folder, plan.local.fio) as hosts,
    ):
        for warning in hosts.connect(ours):
            tell(warning)
        served = hosts.prepare(plan.disks)
        tasks = {
            name: Task(job.to_bytes(), _folder(plan, name), served[name].disk, plan.limit_s)
            for name, job in plan.jobs.items()
        }
        results = hosts.run(tasks)
        hosts.release()
        found = tuple(
            parts.part(each, tasks[each.host.name].folder, plan.ramp_s, plan.has_logs)
            for each in results
        )
    return HostsResult(found, combine.combined(found))


def _folder(plan: HostsPlan, name: str) -> Path:
    folder = plan.local.folder / HOSTS / name
    folder.mkdir(mode=0o700, parents=True)
    return folder
