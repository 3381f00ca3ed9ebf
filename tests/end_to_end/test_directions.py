# SPDX-License-Identifier: GPL-2.0-or-later
"""Each data direction reaches the device, and what was written is what is read."""

import json
from pathlib import Path

import pytest

from tests.conftest import Fio, StartBackend

MIB = 1 << 20


@pytest.mark.parametrize(
    ("rw", "counts"),
    [
        ("read", (64, 0, 0)),
        ("randread", (64, 0, 0)),
        ("write", (0, 64, 0)),
        ("randwrite", (0, 64, 0)),
        ("trim", (0, 0, 64)),
        ("randtrim", (0, 0, 64)),
    ],
)
def test_a_direction_is_carried_out(
    disk: StartBackend, fio: Fio, rw: str, counts: tuple[int, int, int]
) -> None:
    run = fio(disk().socket, rw=rw, bs="4k", iodepth=8, size="256k")
    assert run.status == 0, run.stderr
    assert tuple(run.first[way]["total_ios"] for way in ("read", "write", "trim")) == counts


@pytest.mark.parametrize(
    ("rw", "ways"),
    [
        ("readwrite", ("read", "write")),
        ("randrw", ("read", "write")),
        ("trimwrite", ("trim", "write")),
        ("randtrimwrite", ("trim", "write")),
    ],
)
def test_mixed_directions_are_carried_out(
    disk: StartBackend, fio: Fio, rw: str, ways: tuple[str, ...]
) -> None:
    run = fio(disk().socket, rw=rw, bs="4k", iodepth=8, size="1m")
    assert run.status == 0, run.stderr
    assert all(run.first[way]["total_ios"] > 0 for way in ways)


def test_what_is_written_lies_on_the_disk(disk: StartBackend, fio: Fio, private: Path) -> None:
    image = private / "image"
    run = fio(
        disk(storage=f"file:{image}").socket,
        rw="randwrite",
        bs="8k",
        iodepth=16,
        size="1m",
        offset="2m",
        buffer_pattern="0x5a17",
    )
    assert run.status == 0, run.stderr
    content = image.read_bytes()
    assert content[2 * MIB : 3 * MIB] == b"\x5a\x17" * (MIB // 2)
    assert not any(content[: 2 * MIB])
    assert not any(content[3 * MIB :])


def test_what_is_read_lies_on_the_disk(disk: StartBackend, fio: Fio, private: Path) -> None:
    image = private / "image"
    image.write_bytes(b"\xa5" * MIB)
    run = fio(
        disk(storage=f"file:{image}").socket,
        rw="randread",
        bs="4k",
        iodepth=16,
        verify="pattern",
        verify_pattern="0xa5",
    )
    assert (run.status, run.first["read"]["total_ios"]) == (0, 256), run.stderr


def test_a_wrong_byte_is_noticed(disk: StartBackend, fio: Fio, private: Path) -> None:
    image = private / "image"
    image.write_bytes(b"\xa5" * (MIB // 2) + b"\xa4" + b"\xa5" * (MIB // 2 - 1))
    run = fio(
        disk(storage=f"file:{image}").socket,
        rw="read",
        bs="4k",
        iodepth=16,
        verify="pattern",
        verify_pattern="0xa5",
    )
    assert run.status == 1
    assert "verify" in run.stderr


def test_a_trim_frees_blocks(disk: StartBackend, fio: Fio, private: Path) -> None:
    image = private / "image"
    image.write_bytes(b"\xff" * (4 * MIB))
    before = image.stat().st_blocks
    run = fio(disk(storage=f"file:{image}").socket, rw="trim", bs="1m", size="2m")
    assert run.status == 0, run.stderr
    assert before - image.stat().st_blocks >= 2 * MIB // 512


def test_a_trim_leaves_its_neighbours(disk: StartBackend, fio: Fio, private: Path) -> None:
    image = private / "image"
    image.write_bytes(b"\xff" * (4 * MIB))
    run = fio(disk(storage=f"file:{image}").socket, rw="randtrim", bs="64k", offset="1m", size="1m")
    assert run.status == 0, run.stderr
    content = image.read_bytes()
    assert content[:MIB] == b"\xff" * MIB
    assert content[2 * MIB :] == b"\xff" * (2 * MIB)


@pytest.mark.parametrize("option", ["fsync=8", "fdatasync=8", "sync_file_range=write:8"])
def test_a_flush_follows_each_eighth_write(
    disk: StartBackend, fio: Fio, private: Path, option: str
) -> None:
    name, _, value = option.partition("=")
    stats = private / "stats.json"
    run = fio(
        disk().socket, rw="write", bs="4k", size="256k", stats_file=str(stats), **{name: value}
    )
    assert run.status == 0, run.stderr
    # fio writes 64 blocks, and does not flush after the last.
    assert json.loads(stats.read_text())["ios"] == 64 + 7


@pytest.mark.parametrize("device", ["blk", "scsi"])
def test_a_flush_reaches_the_device(
    builtin: StartBackend, fio: Fio, private: Path, device: str
) -> None:
    statistics = private / "backend.json"
    disk = builtin(options=(f"device={device}", f"stats-file={statistics}"))
    run = fio(disk.socket, rw="write", bs="4k", size="256k", fsync=8)
    disk.stop()
    assert run.status == 0, run.stderr
    assert json.loads(statistics.read_text())["flushes"] == 7


@pytest.mark.parametrize("end", ["end_fsync", "fsync_on_close"])
def test_a_flush_at_the_end_works(disk: StartBackend, fio: Fio, end: str) -> None:
    run = fio(disk().socket, rw="write", bs="4k", number_ios=16, **{end: 1})
    assert run.status == 0, run.stderr


def test_random_writes_verify_with_trims_and_flushes_among_them(
    disk: StartBackend, fio: Fio
) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
filename={disk(queues=3).socket}
iodepth=32
[verified]
rw=randwrite
bs=4k
size=16m
verify=crc32c
verify_fatal=1
verify_backlog=512
fsync=64
[trimmed]
rw=randtrimwrite
bs=16k
offset=16m
size=16m
fdatasync=16
[read]
rw=randrw
bs=512-64k
offset=32m
size=16m
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    verified, trimmed, _ = run.jobs
    assert verified["read"]["total_ios"] == verified["write"]["total_ios"] == 4096
    assert verified["sync"]["total_ios"] > 0
    assert trimmed["trim"]["total_ios"] > 0


def test_trimmed_blocks_verify_when_written_anew(disk: StartBackend, fio: Fio) -> None:
    socket = disk().socket
    trimmed = fio(socket, rw="randtrimwrite", bs="4k", size="8m", iodepth=16)
    written = fio(
        socket, rw="randwrite", bs="4k", size="8m", iodepth=16, verify="crc32c", fsync=100
    )
    assert (trimmed.status, written.status) == (0, 0), trimmed.stderr + written.stderr
    assert written.first["read"]["total_ios"] == 2048


@pytest.mark.parametrize("method", ["md5", "crc64", "sha256", "xxhash", "pattern"])
def test_each_way_to_verify_works(qsd: StartBackend, fio: Fio, method: str) -> None:
    pattern = "%o" if method == "pattern" else None
    run = fio(
        qsd().socket,
        rw="randwrite",
        bs="16k",
        size="2m",
        iodepth=16,
        verify=method,
        verify_pattern=pattern,
    )
    assert (run.status, run.first["read"]["total_ios"]) == (0, 128), run.stderr
