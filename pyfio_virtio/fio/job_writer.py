# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes job files from options, with a comment that explains each line. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from pyfio_virtio.fio.job import ENGINE, escaped_filename

WAITS = {
    "event": "sleep until the back-end calls: uses the least CPU if completions are rare",
    "busy": "look at the ring all the time: the lowest latency, but it uses a whole CPU",
    "sleepy": "sleep between two looks at the ring: for many I/Os in flight, or for few CPUs",
    "adaptive": "try the other ways, and use the one that completes the most I/Os",
}


@dataclass(frozen=True)
class JobOptions:
    """What the job should do. None leaves the line out, so that fio or the engine decides."""

    socket: str = "/tmp/vhost.0"  # noqa: S108 - the path of the examples
    rw: str = "randread"
    bs: str = "4k"
    iodepth: int = 128
    numjobs: int = 1
    runtime: str | None = "10"
    size: str | None = None
    wait: str | None = None
    sleepy_poll: int | None = None
    name: str = "virtio"
    device: str | None = None
    scsi_target: int | None = None
    scsi_lun: int | None = None


def write_job(options: JobOptions) -> str:
    return "\n".join((*_engine(options), "", *_workload(options), ""))


def _engine(options: JobOptions) -> Iterator[str]:
    yield "[global]"
    yield from _line(
        "fio's external engine; fio looks for it in LD_LIBRARY_PATH", f"ioengine={ENGINE}"
    )
    yield from _line(
        "jobs are threads that share one connection, each with its own virtqueue", "thread=1"
    )
    yield from _line(
        "the socket that the back-end serves", f"filename={escaped_filename(options.socket)}"
    )
    if options.device:
        yield from _line("what the socket serves", f"device={options.device}")
    if options.scsi_target is not None and options.scsi_lun is not None:
        yield from _line(
            "which disk behind the virtio-scsi controller", f"scsi_target={options.scsi_target}"
        )
        yield f"scsi_lun={options.scsi_lun}"
    if options.wait:
        yield from _line(WAITS[options.wait], f"wait={options.wait}")
    if options.sleepy_poll is not None:
        yield from _line(
            "microseconds of sleep between two looks at the ring; 0: wait=event",
            f"sleepy_poll={options.sleepy_poll}",
        )


def _workload(options: JobOptions) -> Iterator[str]:
    yield f"[{options.name}]"
    yield from _line(
        "direction: read, write, rw, trim; with rand before it, in random order", f"rw={options.rw}"
    )
    yield from _line("size of each I/O", f"bs={options.bs}")
    yield from _line("I/Os in flight in each job", f"iodepth={options.iodepth}")
    if options.numjobs > 1:
        yield from _line(
            "jobs that run at the same time; the back-end needs a queue for each",
            f"numjobs={options.numjobs}",
        )
        yield from _line("report one result for all jobs", "group_reporting")
    if options.size:
        yield from _line(
            "size of the part of the disk that is used, or a percentage", f"size={options.size}"
        )
    if options.runtime:
        yield from _line(
            "run for this time, in seconds or with a unit; begin again at the end of the disk",
            "time_based",
        )
        yield f"runtime={options.runtime}"


def _line(comment: str, setting: str) -> Iterator[str]:
    yield f"# {comment}"
    yield setting
