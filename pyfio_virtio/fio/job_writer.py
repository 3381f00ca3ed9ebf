# SPDX-License-Identifier: GPL-2.0-or-later
"""Job files from options, with a comment on each line that says what it does. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from pyfio_virtio.fio.job import ENGINE, escaped_filename

WAITS = {
    "event": "sleep until the back-end calls: least CPU where completions are rare",
    "busy": "look at the ring again and again: lowest latency, one core spent",
    "sleepy": "sleep between two looks at the ring: for depth, or where cores are scarce",
    "adaptive": "whichever of the other ways does most here, found by trying",
}


@dataclass(frozen=True)
class JobOptions:
    """What the job should do; None leaves a line out, and the choice to fio or the engine."""

    socket: str = "/tmp/vhost.0"  # noqa: S108 - where the examples have it
    rw: str = "randread"
    bs: str = "4k"
    iodepth: int = 128
    numjobs: int = 1
    runtime: str | None = "10"
    size: str | None = None
    wait: str | None = None
    sleepy_poll: int | None = None
    name: str = "virtio"
    scsi_target: int | None = None
    scsi_lun: int | None = None


def write_job(options: JobOptions) -> str:
    return "\n".join((*_engine(options), "", *_workload(options), ""))


def _engine(options: JobOptions) -> Iterator[str]:
    yield "[global]"
    yield from _line(
        "fio's external engine; fio looks for it in LD_LIBRARY_PATH", f"ioengine={ENGINE}"
    )
    yield from _line("threads share one connection, one virtqueue each", "thread=1")
    yield from _line(
        "the socket that the back-end serves", f"filename={escaped_filename(options.socket)}"
    )
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
        "direction: read, write, rw, trim; rand... in random order", f"rw={options.rw}"
    )
    yield from _line("bytes of each I/O", f"bs={options.bs}")
    yield from _line("I/Os in flight, of each job", f"iodepth={options.iodepth}")
    if options.numjobs > 1:
        yield from _line(
            "jobs at a time; the back-end needs a queue for each", f"numjobs={options.numjobs}"
        )
        yield from _line("one result for all of them", "group_reporting")
    if options.size:
        yield from _line("bytes of the disk that are used, or a percentage", f"size={options.size}")
    if options.runtime:
        yield from _line("seconds; go on until then, however small the disk", "time_based")
        yield f"runtime={options.runtime}"


def _line(comment: str, setting: str) -> Iterator[str]:
    yield f"# {comment}"
    yield setting
