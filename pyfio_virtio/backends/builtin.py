# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of the built-in back-end: python -m pyfio_virtio.backends.builtin --socket PATH ...

Reads the options, serves until SIGTERM or SIGINT, or until the last of --clients has left, then
writes the statistics and removes the sockets. The main thread only waits, because the threads of
the shared object do the work.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from pyfio_virtio.backends import filling
from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.machine import descendants
from pyfio_virtio.sizes import parse_size

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STDERR = 2
_DEFAULT_BYTES = 1 << 30  # of a disk in memory
_HUGE = "huge"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyfio_virtio.backends.builtin",
        description="Serve vhost-user blk or scsi disks on a socket.",
        allow_abbrev=False,  # an abbreviated --storage would get past the check in spec.py
    )
    add = parser.add_argument
    add("--socket", required=True, metavar="PATH")
    add("--socket-fd", type=int, default=0, help="a descriptor that is already bound to PATH")
    add("--device", default="blk", help="blk or scsi")
    add("--storage", default="memory", help="null, memory, memory:PATH or file:PATH")
    add("--size", default="0", help="size of each disk; by default 1G, or the size of the file")
    add("--block-size", type=int, default=0, help="512 or 4096 bytes; by default what fits")
    add("--queues", type=int, default=1, help="number of request queues")
    add("--queue-size-max", type=int, default=0, help="largest number of descriptors in a queue")
    add("--targets", type=int, default=1, help="targets of a scsi device, up to 8")
    add("--luns", type=int, default=1, help="LUNs in each target, up to 16")
    add("--size-max", type=int, default=0, help="most bytes in one segment")
    add("--seg-max", type=int, default=0, help="most segments in one request")
    add("--discard-sectors-max", type=int, default=0, help="most 512-byte sectors in one range")
    add("--discard-segments-max", type=int, default=0, help="most ranges in one request")
    add("--read-only", action="store_true", help="refuse writes")
    add(
        "--latency",
        default="none",
        help="20us, or 10us,100us/1s to alternate every second, or trace:FILE with ns",
    )
    add("--serve", default="adaptive", help="how threads wait: poll, event or adaptive")
    add("--threads", type=int, default=1, help="number of threads that serve queues")
    add(
        "--aio",
        default="auto",
        help="how a file is served with several requests in flight: auto, io_uring, threads, "
        "or off for one after the other",
    )
    add(
        "--direct",
        default="off",
        choices=["on", "off"],
        help="whether a file is accessed without the page cache",
    )
    add("--cpus", default="", help="CPUs for these threads, given out in turn, such as 0,2-3")
    add(
        "--profile",
        default="builtin",
        help="back-end to imitate: builtin, spdk, qemu, rust-vmm or minimal",
    )
    add(
        "--clients",
        type=int,
        default=0,
        metavar="N",
        help="serve so many clients, then end; 0: any number",
    )
    add(
        "--fault",
        action="append",
        default=[],
        help="such as delay:for=1ms,every=3; may be repeated",
    )
    add("--control", default="", metavar="PATH", help="socket that accepts commands")
    add("--stats-file", type=Path, metavar="PATH", help="file for the statistics, as JSON")
    add(
        "--explain-file",
        default="",
        metavar="PATH",
        help="file for the times of single requests, a JSON object for each queue",
    )
    add("--explain", type=int, default=0, metavar="N", help="take the times of one request in N")
    add(
        "--populate",
        default="auto",
        choices=["auto", "on", "off", "huge"],
        help="whether memory is filled before it is served; huge also waits for huge pages, "
        "which some hypervisors provide slowly, so that runs are alike",
    )
    add("--die-with-parent", action="store_true", help="end when the parent process ends")
    return parser


def _settings(chosen: argparse.Namespace) -> Settings:
    return Settings(
        socket_path=chosen.socket,
        socket_fd=chosen.socket_fd,
        control_path=chosen.control,
        device=chosen.device,
        storage=chosen.storage,
        serve=chosen.serve,
        profile=chosen.profile,
        latency=chosen.latency,
        fault=" ".join(chosen.fault),
        explain_path=chosen.explain_file,
        explain_every=chosen.explain,
        cpus=chosen.cpus,
        aio=chosen.aio,
        size_bytes=parse_size(chosen.size),
        block_bytes=chosen.block_size,
        queue_count=chosen.queues,
        queue_size_max=chosen.queue_size_max,
        thread_count=chosen.threads,
        target_count=chosen.targets,
        lun_count=chosen.luns,
        size_max=chosen.size_max,
        seg_max=chosen.seg_max,
        discard_sectors_max=chosen.discard_sectors_max,
        discard_segments_max=chosen.discard_segments_max,
        clients_max=chosen.clients,
        read_only=chosen.read_only,
        direct=chosen.direct == "on",
        populate=_populates(chosen),
        populate_huge=chosen.populate == _HUGE,
        own_process=True,
        log_fd=_STDERR,
    )


def _populates(chosen: argparse.Namespace) -> bool:
    """Whether memory is filled before it is served; says so where there is too little."""
    if chosen.populate != "auto" or not chosen.storage.startswith("memory"):
        return chosen.populate in ("on", _HUGE)
    size_bytes = parse_size(chosen.size) or _DEFAULT_BYTES
    why_not = filling.short_of_memory(size_bytes * chosen.targets * chosen.luns)
    if why_not:
        print(why_not, file=sys.stderr)
    return not why_not


def _serve(chosen: argparse.Namespace) -> None:
    # The signals are blocked before the threads start, so that all threads inherit the mask and
    # only sigwait() receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    with BuiltinBackend(_settings(chosen)) as backend:
        signal.sigwait(_STOP_SIGNALS)
        if chosen.stats_file:
            from pyfio_virtio import files  # slow to import, and only needed here

            files.replace(chosen.stats_file, backend.command("stats") + "\n")


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    if chosen.die_with_parent:
        descendants.die_with(os.getppid(), signal.SIGTERM)
    try:
        _serve(chosen)
    except PyfioVirtioError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot write {chosen.stats_file}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
