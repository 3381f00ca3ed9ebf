# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of the built-in back-end: python -m pyfio_virtio.backends.builtin --socket PATH ...

Reads the options, serves until SIGTERM or SIGINT, then writes the statistics and removes the
sockets. Its main thread only waits: the work is done in the shared object's threads.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.sizes import parse_size

_PR_SET_PDEATHSIG = 1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STDERR = 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyfio_virtio.backends.builtin",
        description="Serve vhost-user blk or scsi disks on a socket.",
        allow_abbrev=False,  # a shortened --storage would get past whoever looks for it
    )
    add = parser.add_argument
    add("--socket", required=True, metavar="PATH")
    add("--socket-fd", type=int, default=0, help="bound there already: listen on this descriptor")
    add("--device", default="blk", help="blk or scsi")
    add("--storage", default="memory", help="null, memory, memory:PATH or file:PATH")
    add("--size", default="0", help="of each disk: 1G; by default 1 GiB, or what the file has")
    add("--block-size", type=int, default=512, help="512 or 4096 bytes")
    add("--queues", type=int, default=1, help="request queues")
    add("--queue-size-max", type=int, default=0, help="descriptors in a queue, at most")
    add("--targets", type=int, default=1, help="of a scsi device, up to 8")
    add("--luns", type=int, default=1, help="in each target, up to 16")
    add("--size-max", type=int, default=0, help="bytes in one segment, at most")
    add("--seg-max", type=int, default=0, help="segments in one request, at most")
    add("--discard-sectors-max", type=int, default=0, help="in one range, of 512 bytes")
    add("--discard-segments-max", type=int, default=0, help="ranges in one request")
    add("--read-only", action="store_true")
    add("--latency", default="none", help="20us; 10us,100us/1s by turns; trace:FILE of ns")
    add("--serve", default="adaptive", help="poll, event or adaptive")
    add("--threads", type=int, default=1, help="that serve queues")
    add("--cpus", default="", help="where these run, by turns: 0,2-3")
    add("--profile", default="builtin", help="builtin, spdk, qemu, rust-vmm or minimal")
    add("--fault", action="append", default=[], help="ACTION:KEY=VALUE,...; may be repeated")
    add("--control", default="", metavar="PATH", help="socket that takes commands")
    add("--stats-file", type=Path, metavar="PATH", help="JSON, written at the end")
    add("--die-with-parent", action="store_true")
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
        cpus=chosen.cpus,
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
        read_only=chosen.read_only,
        own_process=True,
        log_fd=_STDERR,
    )


def _die_with_parent() -> None:
    """Asks the kernel for SIGTERM when the parent ends, and ends if it has already."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)


def _serve(chosen: argparse.Namespace) -> None:
    # Blocked before the threads start, so that they inherit it and sigwait() gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    with BuiltinBackend(_settings(chosen)) as backend:
        signal.sigwait(_STOP_SIGNALS)
        if chosen.stats_file:
            chosen.stats_file.write_text(backend.command("stats") + "\n")


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    if chosen.die_with_parent:
        _die_with_parent()
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
