# SPDX-License-Identifier: GPL-2.0-or-later
"""Transfers whose steps are in flight together: engine/library/division.c.

The built-in back-end counts the requests that it gets.
"""

import errno
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio import Disk, DiskError, Read
from pyfio_virtio.backends import control
from pyfio_virtio.backends.backends import Backend
from tests.pyfio_virtio.disks import Kind, Server, open_disk

Serve = Callable[..., Backend]
TIB, MIB, SLOT = 1 << 40, 1 << 20, 64 << 10
SECTORS = SLOT // 512


@dataclass(frozen=True)
class Counting:
    """A back-end with its counters."""

    backend: Backend
    path: str

    def count(self, name: str) -> int:
        (answer,) = control.ask(self.path, self.backend.process.pid, "it", ("stats",))
        return int(json.loads(answer)[name])


Start = Callable[..., Counting]


@pytest.fixture
def counting(serve: Serve, private: Path) -> Start:
    def start(*options: str, **spec: Any) -> Counting:  # noqa: ANN401 - BackendSpec's fields
        path = str(private / "control")
        return Counting(serve("builtin", options=(f"control={path}", *options), **spec), path)

    return start


# ---- requests that move no data ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "call"),
    [("blk", Disk.discard), ("blk", Disk.write_zeroes), ("scsi", Disk.discard)],
    ids=["discard", "zeroes", "unmap"],
)
def test_a_tebibyte_takes_as_few_requests_as_the_device_allows(
    counting: Start, device: str, call: Callable[[Disk, int, int], None]
) -> None:
    served = counting(f"device={device}", storage="null", size_bytes=TIB)
    with open_disk(served.backend) as disk:
        call(disk, 0, TIB)
        limit = 2 << 30
        assert disk.info.max_discard_bytes == limit
        assert served.count("discards") + served.count("write_zeroes") == TIB // limit


def test_each_request_keeps_to_the_limit_of_the_device(counting: Start) -> None:
    served = counting("discard-sectors-max=2048")
    with open_disk(served.backend) as disk:
        disk.pwrite(b"d" * 8 * MIB, 0)
        disk.discard(512, 4 * MIB)
        assert served.count("discards") == 4
        assert disk.pread(8 * MIB, 0) == b"d" * 512 + bytes(4 * MIB) + b"d" * (4 * MIB - 512)


def test_zeroes_that_begin_and_end_within_blocks(counting: Start) -> None:
    served = counting("discard-sectors-max=2048")
    with open_disk(served.backend) as disk:
        disk.pwrite(b"d" * 8 * MIB, 0)
        disk.write_zeroes(100, 6 * MIB)
        assert disk.pread(8 * MIB, 0) == b"d" * 100 + bytes(6 * MIB) + b"d" * (2 * MIB - 100)


# ---- data that is copied -------------------------------------------------------------------------


def test_all_of_a_mebibyte_is_in_flight_together(counting: Start) -> None:
    """The first request is never answered, and the others are sent nevertheless."""
    served = counting(f"fault=lose:type=read,sectors=0-{SECTORS - 1}")
    with open_disk(served.backend, request_timeout_s=0.1) as disk:
        with pytest.raises(DiskError, match="did not complete a read of 1048576 bytes at 0"):
            disk.pread(MIB, 0)
        assert served.count("reads") == MIB // SLOT - 1  # the lost one does not count


def test_a_chain_for_each_step_is_not_needed(serve: Serve) -> None:
    with open_disk(serve("builtin", size_bytes=8 * MIB), depth=2) as disk:
        data = bytes(range(256)) * 8192
        assert disk.pwrite(data, 100) == len(data)
        assert disk.pread(len(data), 100) == data


def test_the_first_wrong_byte_decides_what_is_reported(counting: Start) -> None:
    """Also if a later step fails earlier; and nothing begins after a failure."""
    first, later = 3 * SECTORS, 9 * SECTORS
    served = counting(
        f"fault=delay:for=50ms,type=write,sectors={first}-{first}",
        f"fault=error:type=write,sectors={first}-{first}",
        f"fault=error:type=write,sectors={later}-{later}",
    )
    with open_disk(served.backend) as disk:
        with pytest.raises(DiskError, match=f"a write of {SLOT} bytes at {first * 512} "):
            disk.pwrite(bytes(32 * MIB), 0)
        assert served.count("writes") < 2 * 16 + 1


def test_the_end_of_the_disk_cuts_a_transfer(serve: Serve) -> None:
    with open_disk(serve("builtin", size_bytes=8 * MIB)) as disk:
        assert disk.pwrite(b"e" * 4 * MIB, 6 * MIB + 100) == 2 * MIB - 100
        assert disk.pread(4 * MIB, 6 * MIB + 100) == b"e" * (2 * MIB - 100)


def test_a_part_of_a_block_is_written_while_all_is_discarded(serve: Serve) -> None:
    """The bytes beside it are those of before or of after, and the part is written."""
    backend = serve("builtin", size_bytes=64 * MIB, options=("discard-sectors-max=2048",))
    with open_disk(backend) as disk, ThreadPoolExecutor(2) as pool:
        for number in range(20):
            disk.pwrite(b"b" * 512, 40 * MIB)
            discarded = pool.submit(disk.discard, 0, 64 * MIB)
            part = pool.submit(disk.pwrite, b"p" * 10, 40 * MIB + number)
            discarded.result()
            part.result()
            found = disk.pread(512, 40 * MIB)
            before, after = b"b" * 512, bytes(512)
            assert found in [
                after,
                *(each[:number] + b"p" * 10 + each[number + 10 :] for each in (before, after)),
            ]


# ---- giving up ---------------------------------------------------------------------------------


def test_a_divided_operation_is_cancelled_at_once(serve: Serve) -> None:
    """And its chains are used again, once the back-end has returned them."""
    server = Server(Kind("builtin", 512).start(serve))
    with open_disk(server.backend, depth=4) as disk, disk.operations() as operations:
        with server.stopped():
            long = Read(bytearray(MIB), 0)
            operations.submit([long])
            operations.cancel(long)
            assert operations.completed(1) == [long]
            assert long.error is not None
        assert disk.pread(MIB, 0) == bytes(MIB)


def test_a_disk_is_closed_while_a_transfer_is_divided(serve: Serve) -> None:
    server = Server(Kind("builtin", 512).start(serve))
    with open_disk(server.backend) as disk, ThreadPoolExecutor(1) as pool:
        with server.stopped():
            reading = pool.submit(disk.pread, MIB, 0)
            disk.close()
            with pytest.raises(DiskError) as ended:
                reading.result()
        assert ended.value.errno in (errno.ECANCELED, errno.EBADF)
