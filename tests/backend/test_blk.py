# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-blk requests, one by one."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import (
    BLK_DISCARD,
    BLK_FLUSH,
    BLK_GET_ID,
    BLK_IOERR,
    BLK_OK,
    BLK_READ,
    BLK_UNSUPP,
    BLK_WRITE,
    BLK_WRITE_ZEROES,
    BlkDone,
    blk,
)
from tests.backend.frontend import SET_CONFIG, Frontend

SECTORS = 2048  # of the 1 MiB disk


def ranges(*triples: tuple[int, int, int]) -> bytes:
    return b"".join(struct.pack("<QII", *triple) for triple in triples)


@pytest.mark.parametrize("serve", ["poll", "event", "adaptive"])
@pytest.mark.parametrize("storage", ["memory", "file"])
def test_what_is_written_is_read(
    backend: StartBuiltin, tmp_path: Path, serve: str, storage: str
) -> None:
    words = f"file:{tmp_path / 'disk'}" if storage == "file" else storage
    started = backend(serve=serve, storage=words)
    data = bytes(range(256)) * 16
    with Frontend(started.settings.socket_path) as frontend:
        assert blk(frontend, BLK_WRITE, 8, data) == BlkDone(BLK_OK, 1, b"")
        assert blk(frontend, BLK_READ, 8, in_bytes=4096) == BlkDone(BLK_OK, 4097, data)
        assert blk(frontend, BLK_FLUSH).status == BLK_OK


def test_null_storage_returns_nothing_and_accepts_all(backend: StartBuiltin) -> None:
    started = backend(storage="null")
    with Frontend(started.settings.socket_path) as frontend:
        assert blk(frontend, BLK_WRITE, 0, b"x" * 512).status == BLK_OK
        assert blk(frontend, BLK_READ, 0, in_bytes=512) == BlkDone(BLK_OK, 513, bytes(512))


@pytest.mark.parametrize(
    ("sector", "size"), [(SECTORS, 512), (SECTORS - 1, 1024), (2**63, 512), (2**64 - 1, 512)]
)
def test_beyond_the_end_is_an_error(backend: StartBuiltin, sector: int, size: int) -> None:
    with Frontend(backend().settings.socket_path) as frontend:
        assert blk(frontend, BLK_READ, sector, in_bytes=size).status == BLK_IOERR
        assert blk(frontend, BLK_WRITE, sector, bytes(size)).status == BLK_IOERR
        assert blk(frontend, BLK_DISCARD, out=ranges((sector, size // 512, 0))).status == BLK_IOERR


def test_blocks_of_4096_take_whole_blocks_only(backend: StartBuiltin) -> None:
    with Frontend(backend(block_bytes=4096).settings.socket_path) as frontend:
        assert struct.unpack_from("<I", frontend.config(), 20) == (4096,)
        assert struct.unpack_from("<Q", frontend.config()) == (SECTORS,)
        assert blk(frontend, BLK_READ, 8, in_bytes=4096).status == BLK_OK
        assert blk(frontend, BLK_READ, 1, in_bytes=4096).status == BLK_IOERR
        assert blk(frontend, BLK_READ, 8, in_bytes=512).status == BLK_IOERR


def test_a_read_only_disk_refuses_changes(backend: StartBuiltin) -> None:
    with Frontend(backend(read_only=True).settings.socket_path) as frontend:
        assert frontend.offered & 1 << 5
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
        assert blk(frontend, BLK_WRITE, 0, bytes(512)).status == BLK_IOERR
        assert blk(frontend, BLK_DISCARD, out=ranges((0, 8, 0))).status == BLK_IOERR
        assert blk(frontend, BLK_WRITE_ZEROES, out=ranges((0, 8, 0))).status == BLK_IOERR


@pytest.mark.parametrize("kind", [BLK_DISCARD, BLK_WRITE_ZEROES])
@pytest.mark.parametrize("storage", ["memory", "file"])
def test_discard_and_write_zeroes_clear_their_ranges(
    backend: StartBuiltin, tmp_path: Path, kind: int, storage: str
) -> None:
    words = f"file:{tmp_path / 'disk'}" if storage == "file" else storage
    with Frontend(backend(storage=words).settings.socket_path) as frontend:
        blk(frontend, BLK_WRITE, 0, b"x" * 16384)
        assert blk(frontend, kind, out=ranges((0, 8, 0), (24, 8, 0))).status == BLK_OK
        data = blk(frontend, BLK_READ, 0, in_bytes=16384).data
        assert data == bytes(4096) + b"x" * 8192 + bytes(4096)


def test_ranges_are_checked(backend: StartBuiltin) -> None:
    started = backend(discard_sectors_max=64, discard_segments_max=2)
    with Frontend(started.settings.socket_path) as frontend:
        assert struct.unpack_from("<III", frontend.config(), 36) == (64, 2, 1)
        assert blk(frontend, BLK_DISCARD, out=ranges((0, 65, 0))).status == BLK_IOERR
        assert blk(frontend, BLK_DISCARD, out=ranges(*[(0, 1, 0)] * 3)).status == BLK_IOERR
        assert blk(frontend, BLK_DISCARD, out=ranges((0, 1, 0))[:-1]).status == BLK_IOERR
        assert blk(frontend, BLK_DISCARD, out=ranges((0, 1, 1))).status == BLK_UNSUPP
        assert blk(frontend, BLK_WRITE_ZEROES, out=ranges((0, 1, 1))).status == BLK_OK
        assert blk(frontend, BLK_WRITE_ZEROES, out=ranges((0, 1, 2))).status == BLK_UNSUPP


def test_get_id_names_the_disk(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path) as frontend:
        done = blk(frontend, BLK_GET_ID, in_bytes=20)
        assert done == BlkDone(BLK_OK, 21, b"pyfio-virtio-blk".ljust(20, b"\0"))


def test_an_unknown_request_is_unsupported(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path) as frontend:
        assert blk(frontend, 77).status == BLK_UNSUPP


def test_the_cache_mode_can_be_set(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path) as frontend:
        assert frontend.config()[32] == 1
        assert frontend.tell(SET_CONFIG, struct.pack("<III", 32, 1, 0) + b"\0") == 0
        assert frontend.config()[32] == 0
        assert blk(frontend, BLK_WRITE, 0, bytes(512)).status == BLK_OK


def test_the_rest_of_the_configuration_is_read_only(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path) as frontend:
        before = frontend.config()
        assert frontend.tell(SET_CONFIG, struct.pack("<III", 0, 8, 0) + bytes(8)) != 0
        assert frontend.config() == before


def test_limits_stand_in_the_configuration(backend: StartBuiltin) -> None:
    started = backend(size_max=65536, seg_max=30, queue_count=4)
    with Frontend(started.settings.socket_path, queues=4) as frontend:
        assert struct.unpack_from("<II", frontend.config(), 8) == (65536, 30)
        assert struct.unpack_from("<H", frontend.config(), 34) == (4,)
        assert frontend.offered & 1 << 1


def in_segments(frontend: Frontend, kind: int, sizes: Sequence[int]) -> int:
    """The status of a request whose data lies in segments of these sizes."""
    memory = frontend.memory
    header = memory.place(struct.pack("<IIQ", kind, 0, 0))
    reads = kind == BLK_READ
    data = [memory.place(bytes(size), device_writes=reads) for size in sizes]
    status = memory.place(b"\xa5", device_writes=True)
    frontend.queues[0].run([header, *data, status])
    return memory.read(status)[0]


@pytest.mark.parametrize("kind", [BLK_READ, BLK_WRITE])
@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        ([4096], BLK_OK),
        ([4608], BLK_IOERR),
        ([512] * 3, BLK_OK),
        ([512] * 4, BLK_IOERR),
        ([512, 512, 4608], BLK_IOERR),
    ],
)
def test_limits_that_were_negotiated_are_enforced(
    backend: StartBuiltin, kind: int, sizes: Sequence[int], status: int
) -> None:
    started = backend(size_max=4096, seg_max=3)
    with Frontend(started.settings.socket_path) as frontend:
        assert frontend.offered & 0b110 == 0b110
        assert in_segments(frontend, kind, sizes) == status
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK


def test_limits_that_were_not_negotiated_are_none(backend: StartBuiltin) -> None:
    started = backend(profile="minimal", seg_max=3)
    with Frontend(started.settings.socket_path) as frontend:
        assert in_segments(frontend, BLK_WRITE, [512] * 4) == BLK_OK


def test_a_size_max_of_0_is_no_limit(backend: StartBuiltin) -> None:
    with Frontend(backend(profile="qemu").settings.socket_path) as frontend:
        assert in_segments(frontend, BLK_WRITE, [1 << 16]) == BLK_OK


def test_memory_with_a_path_outlives_the_back_end(backend: StartBuiltin, tmp_path: Path) -> None:
    storage = f"memory:{tmp_path / 'kept'}"
    first = backend(storage=storage)
    with Frontend(first.settings.socket_path) as frontend:
        blk(frontend, BLK_WRITE, 5, b"kept" * 128)
    first.stop()
    with Frontend(backend(storage=storage).settings.socket_path) as frontend:
        assert blk(frontend, BLK_READ, 5, in_bytes=512).data == b"kept" * 128
