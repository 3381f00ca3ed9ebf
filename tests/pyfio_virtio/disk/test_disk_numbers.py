# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers at the ends of what a disk, an offset, a size or a time can be: disk/disk.py."""

import errno
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyfio_virtio import Disk, DiskError, Flush
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.engine import engine
from tests.pyfio_virtio.disks import open_disk

Serve = Callable[..., Backend]
MAX_BYTES = (1 << 63) - 1
EDGES = (0, 1 << 31, 1 << 32, 1 << 62, MAX_BYTES, 1 << 64, -(1 << 63), 1 << 80)
# More than this much is not moved: a disk of zeroes has no end here.
MOST_BYTES = 1 << 16


@pytest.fixture(params=[("blk", 512), ("blk", 4096), ("scsi", 512), ("scsi", 4096)])
def largest(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Disk]:
    """A disk of as many bytes as a disk can have; it keeps nothing."""
    device, block_size = request.param
    size = MAX_BYTES - MAX_BYTES % block_size
    options = (f"device={device}",)
    backend = serve(
        "builtin", storage="null", size_bytes=size, block_size=block_size, options=options
    )
    with open_disk(backend) as disk:
        assert disk.size == size
        yield disk


@pytest.fixture
def disk(serve: Serve) -> Iterator[Disk]:
    with open_disk(serve("builtin", size_bytes=1 << 20)) as opened:
        yield opened


def near(*places: int) -> st.SearchStrategy[int]:
    return st.tuples(st.sampled_from(places), st.integers(-5000, 5000)).map(sum)


def outcome(call: Callable[[], Any]) -> int:
    """What a call returns, or its errno, negative."""
    try:
        return int(call() or 0)
    except DiskError as error:
        return -(error.errno or 0)


def expected(disk: Disk, offset: int, size: int, behind: int) -> int:
    """As os.pread() and os.pwrite() have it."""
    if not (0 <= offset <= MAX_BYTES and 0 <= size <= MAX_BYTES):
        return -errno.EINVAL
    return behind if size and offset >= disk.size else min(size, max(0, disk.size - offset))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=near(*EDGES), size=st.integers(0, MOST_BYTES), is_shared=st.booleans())
@example(offset=MAX_BYTES, size=1, is_shared=True)
def test_moving_data_at_any_offset(largest: Disk, offset: int, size: int, is_shared: bool) -> None:
    data: Any = largest.alloc(size) if is_shared else bytearray(size)
    read = outcome(lambda: largest.preadv([data], offset))
    assert read == expected(largest, offset, size, 0)
    written = outcome(lambda: largest.pwrite(data, offset))
    assert written == expected(largest, offset, size, -errno.ENOSPC)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(from_end=st.integers(0, 1 << 20), size=near(*EDGES))
def test_ranges_of_any_size(largest: Disk, from_end: int, size: int) -> None:
    offset = largest.size - from_end
    is_behind = size > 0 and from_end == 0
    wanted = -errno.EINVAL if not 0 <= size <= MAX_BYTES else -errno.ENOSPC if is_behind else 0
    assert outcome(lambda: largest.discard(offset, size)) == wanted
    assert outcome(lambda: largest.write_zeroes(offset, size)) == wanted
    read = outcome(lambda: len(largest.pread(size, offset)))
    assert read == (min(size, from_end) if 0 <= size <= MAX_BYTES else -errno.EINVAL)


@pytest.mark.parametrize(("offset", "size"), [(1 << 63, 1), ((1 << 64) - 1, 1), (0, 1 << 63)])
def test_c_refuses_negative_numbers_too(disk: Disk, offset: int, size: int) -> None:
    ffi, lib = engine.library().ffi, engine.library().lib
    buffer = ffi.new("char[]", 1)
    device = disk._session.device
    with disk._session:
        assert lib.device_read(device, buffer, size, offset) == -errno.EINVAL
        assert lib.device_write(device, buffer, size, offset) == -errno.EINVAL
        assert lib.device_discard(device, offset, size) == -errno.EINVAL


@pytest.mark.parametrize("seconds", [-1e300, -1.0, 0.0, 1e300, float("inf"), float("-inf")])
def test_any_time_is_a_time(disk: Disk, seconds: float) -> None:
    with disk.operations() as operations:
        operations.submit([Flush()])
        until = time.monotonic() + 10
        while not operations.completed(1, seconds):
            assert time.monotonic() < until


def test_where_a_number_is_zero_the_default_applies(serve: Serve) -> None:
    zeroes: dict[str, Any] = dict.fromkeys(("queues", "depth", "memory_bytes", "sleepy_poll_us"), 0)
    times = {"connect_timeout_s": 0.0, "request_timeout_s": 0.0}
    with open_disk(serve("builtin", size_bytes=1 << 20), **zeroes, **times) as disk:
        assert disk.info.num_queues == 1
        assert disk.pwrite(b"data", 0) == 4
        assert len(disk.alloc(4096, 0)) == 4096


def test_memory_that_no_machine_has_is_refused(serve: Serve) -> None:
    with pytest.raises(DiskError, match="cannot share") as refused:
        open_disk(serve("builtin", size_bytes=1 << 20), memory_bytes=MAX_BYTES)
    assert refused.value.errno == errno.ENOMEM
