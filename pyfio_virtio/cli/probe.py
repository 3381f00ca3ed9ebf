# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio probe: shows what a back-end offers, what the engine would use, and a job for it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

import click

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.cli.interruptible import interruptible
from pyfio_virtio.cli.options import device_option, seconds_option
from pyfio_virtio.engine import engine, features
from pyfio_virtio.engine.features import State
from pyfio_virtio.fio.job_writer import JobOptions, write_job
from pyfio_virtio.machine import folders
from pyfio_virtio.sizes import format_size

# Without indirect descriptors a request takes three entries of a queue or more, and some back-ends
# have only 128.
_INDIRECT = 28
_SHALLOW = 32
_TYPES = {features.BLK: "virtio-blk", features.SCSI: "virtio-scsi"}


@click.command()
@click.argument("socket", type=click.Path(readable=False))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@seconds_option(
    "--connect-timeout",
    "timeout_s",
    least=0.001,
    most=86400,
    default="5",
    show_default=True,
    help="Time to wait for an answer, such as 5 or 500ms.",
)
@device_option
def probe(socket: str, as_json: bool, timeout_s: float, device: str) -> None:
    """Show what the back-end at SOCKET offers.

    It also shows which of its features the engine would use, and a job that works there.
    """
    unix_sockets.check_present(socket)
    info = interruptible(lambda: engine.describe(socket, timeout_s, device))
    virtio = features.states(
        features.virtio_features(info.type), info.offered_features, info.features
    )
    protocol = features.states(features.PROTOCOL_FEATURES, info.offered_protocol, info.protocol)
    options = _job_that_works(folders.absolute(socket), info)
    job = write_job(options if device == "auto" else replace(options, device=device))
    if as_json:
        click.echo(_json(info, virtio, protocol, job))
    else:
        _print(info, virtio, protocol, job)


def _job_that_works(socket: str, info: engine.DeviceInfo) -> JobOptions:
    """A job that only reads, in whole blocks. It has as many jobs as queues, but at most four."""
    job = JobOptions(
        socket=socket, bs=str(max(4096, info.block_size)), numjobs=min(4, max(1, info.max_queues))
    )
    if not info.features >> _INDIRECT & 1:
        job = replace(job, iodepth=_SHALLOW)
    if not info.capacity_bytes:
        job = replace(job, size=_SIZE_OF_UNKNOWN_DISK)
    if len(info.disks) < 2:
        return job
    return replace(job, scsi_target=info.disks[0].target, scsi_lun=info.disks[0].lun)


def _json(
    info: engine.DeviceInfo, virtio: Sequence[State], protocol: Sequence[State], job: str
) -> str:
    parts = {
        "device": asdict(info),
        "virtio_features": [_plain(state) for state in virtio],
        "protocol_features": [_plain(state) for state in protocol],
        "job": job,
    }
    return json.dumps(parts, indent=1)


def _plain(state: State) -> dict[str, object]:
    return {
        "bit": state.feature.bit,
        "name": state.feature.name,
        "offered": state.offered,
        "negotiated": state.negotiated,
        "why_not": state.why_not,
    }


def _print(
    info: engine.DeviceInfo, virtio: Sequence[State], protocol: Sequence[State], job: str
) -> None:
    from pyfio_virtio.cli.tables import print_table

    print_table(("device", ""), _device_rows(info))
    if info.disks:
        click.echo()
        print_table(_DISK_COLUMNS, _disk_rows(info.disks))
    for title, states in (("virtio features", virtio), ("protocol features", protocol)):
        click.echo()
        columns = ("bit", title, "offered", "negotiated", "why not", "meaning")
        print_table(columns, _feature_rows(states))
    click.echo(f"\n# a job that works here\n{job}", nl=False)


_DISK_COLUMNS = ("scsi_target", "scsi_lun", "vendor", "product", "serial", "size", "blocks", "thin")


def _disk_rows(disks: Iterable[engine.Disk]) -> Iterable[tuple[str, ...]]:
    for disk in disks:
        size, blocks = format_size(disk.capacity_bytes), format_size(disk.block_size)
        names = (disk.vendor, disk.product, disk.serial)
        yield str(disk.target), str(disk.lun), *names, size, blocks, _yes(disk.is_thin)


def _feature_rows(states: Iterable[State]) -> Iterable[tuple[str, ...]]:
    for state in states:
        feature = state.feature
        offered, negotiated = ("yes" if on else "-" for on in (state.offered, state.negotiated))
        yield str(feature.bit), feature.name, offered, negotiated, state.why_not, feature.meaning


def _device_rows(info: engine.DeviceInfo) -> Iterable[tuple[str, str]]:
    yield "type", _TYPES.get(info.type, f"device type {info.type}")
    yield "name", info.id or "none"
    yield "capacity", _capacity(info)
    assumed = "" if _is_told(info) else " (assumed: the back-end does not say)"
    yield (
        "blocks",
        f"{info.block_size} bytes logical, {info.physical_block_size} physical{assumed}",
    )
    yield (
        "optimal I/O",
        format_size(info.optimal_io_size) if info.optimal_io_size else "not reported",
    )
    yield "access", "read-only" if info.read_only else "read and write"
    yield "write cache", "on" if info.writeback else "off"
    yield "flush", _yes(info.can_flush)
    yield "discard", _limit(info.can_discard, info.max_discard_bytes, info.max_discard_segments)
    yield (
        "write zeroes",
        _limit(info.can_write_zeroes, info.max_write_zeroes_bytes, info.max_write_zeroes_segments),
    )
    yield (
        "request queues",
        f"{info.max_queues} offered; this probe used one of {info.queue_size} entries",
    )
    segment = f", of {format_size(info.size_max)} each" if info.size_max else ""
    yield "segments", f"{info.seg_max} at most{segment}"
    yield "memory regions", f"{info.max_mem_slots} at most"
    yield "pages", format_size(info.page_size) + _HUGEPAGES_SHORT * info.hugepages_short
    yield "configuration", "read" if info.has_config else "not offered: defaults are assumed"


# A job reads no more of a disk that may be small.
_SIZE_OF_UNKNOWN_DISK = "1m"


def _is_told(info: engine.DeviceInfo) -> bool:
    """Whether the back-end described its disk; a SCSI disk describes itself."""
    return info.has_config or info.type == features.SCSI


def _capacity(info: engine.DeviceInfo) -> str:
    if not info.capacity_bytes and not _is_told(info):
        return "the back-end does not say (jobs need size=)"
    return f"{format_size(info.capacity_bytes)} ({info.capacity_bytes} bytes)"


_HUGEPAGES_SHORT = " (too few huge pages are free: pyfio-virtio doctor)"


def _limit(can: bool, size_bytes: int, segments: int) -> str:
    if not can:
        return "no"
    limit = "any size" if size_bytes == 0 else f"{format_size(size_bytes)} at most"
    return f"{limit}, {segments} segments"


def _yes(can: bool) -> str:
    return "yes" if can else "no"
