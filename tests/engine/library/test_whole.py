# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that are sent whole: the same as all others, but with fewer instructions.

A read or write of whole blocks in one buffer of shared memory is whole. With the same buffer as the
only part of an iov it is not, and goes the way of all operations.
"""

from collections.abc import Callable, Iterator

import pytest

from pyfio_virtio.backends.backends import Backend
from tests.engine.library.test_async import READ, WRITE, Async
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.pyfio_virtio.disks import DISK_BYTES, Kind

Serve = Callable[..., Backend]
Attach = Callable[..., list[Async]]
BLOCK = 512
STRETCH = 4 << 20


@pytest.fixture
def attach(serve: Serve) -> Iterator[Attach]:
    """One async for each queue of a device."""
    made: list[Async] = []

    def start(*faults: str, queues: int = 1) -> list[Async]:
        options = tuple(f"fault={fault}" for fault in faults)
        served = Kind("builtin", BLOCK, options).start(serve, queues=queues)
        path = ffi.new("char[]", served.socket.encode())
        config = ffi.new("struct device_config *", {"socket": path, "num_queues": queues})
        device = ffi.new("struct device **")
        assert lib.device_attach(device, config, ffi.NULL) == 0, sentence()
        for _ in range(queues):
            handle = ffi.new("struct async **")
            assert lib.async_open(handle, device[0]) == 0
            made.append(Async(device[0], handle[0]))
        return made

    yield start
    for each in made:
        lib.async_close(each.handle)
    lib.device_detach(made[0].device)


def memory(made: Async, size: int) -> CData:
    return ffi.buffer(lib.device_alloc(made.device, size, 4096), size)


def carry_out(made: Async, kind: int, target: CData, offset: int, in_parts: bool) -> object:
    """The result, the sentence if it failed, and the memory afterwards."""
    whole = {"buffer": ffi.from_buffer(target), "size_bytes": len(target)}
    parts = ffi.new("struct iovec *", {"iov_base": whole["buffer"], "iov_len": len(target)})
    form = {"buffer": ffi.NULL, "iov": parts, "iov_count": 1} if in_parts else whole
    op = ffi.new("struct operation *", {"type": kind, "offset_bytes": offset, **form})
    if lib.async_submit(made.handle, op) != 0:
        return sentence()
    assert lib.async_completed(made.handle, 1, -1) == 1
    assert made.collect() == [op]
    return op.result, sentence() if op.result < 0 else "", bytes(target)


@pytest.mark.parametrize("size", [BLOCK, 4 * BLOCK, STRETCH])
@pytest.mark.parametrize("kind", [READ, WRITE])
def test_the_same_operations_have_the_same_results(attach: Attach, kind: int, size: int) -> None:
    (made,) = attach("error:sectors=8-8")
    places = [0, BLOCK, 8 * BLOCK, STRETCH - BLOCK, DISK_BYTES - BLOCK, DISK_BYTES]
    wrong = [5, DISK_BYTES + BLOCK, (1 << 64) - BLOCK, (1 << 64) - size]
    target = memory(made, size)
    for offset in places + wrong:
        results = []
        for in_parts in (False, True):
            target[:] = b"w" * size if kind == WRITE else bytes(size)
            results.append(carry_out(made, kind, target, offset, in_parts))
        assert results[0] == results[1], offset


@pytest.mark.parametrize("queues", [1, 2])
def test_a_write_of_a_part_waits_for_a_whole_write(attach: Attach, queues: int) -> None:
    """The whole write, on whichever queue, is late, so the other one would be done first."""
    asyncs = attach("delay:for=50ms,type=write,count=1", queues=queues)
    first, last = asyncs[0], asyncs[-1]
    whole = memory(first, BLOCK)
    whole[:] = b"w" * BLOCK
    assert first.submit(first.operation(WRITE, whole, BLOCK)) == 1
    assert last.submit(last.operation(WRITE, b"part", BLOCK + 5)) == 1
    if first is last:
        assert last.all_results() == [BLOCK, 4]
    else:
        assert last.all_results() == [4]
        assert lib.async_completed(first.handle, 0, 0) == 1
    found = ffi.new("char[]", BLOCK)
    assert lib.device_read(first.device, found, BLOCK, BLOCK) == BLOCK
    assert ffi.buffer(found)[:] == b"wwwww" + b"part" + b"w" * (BLOCK - 9)


def test_a_whole_write_waits_for_a_write_of_a_part(attach: Attach) -> None:
    (made,) = attach("delay:for=50ms,type=read,count=1")
    whole = memory(made, BLOCK)
    whole[:] = b"w" * BLOCK
    part = made.operation(WRITE, b"part", 5)
    assert made.submit(part) == made.submit(made.operation(WRITE, whole, 0)) == 1
    assert made.all_results() == [4, BLOCK]
    found = ffi.new("char[]", BLOCK)
    assert lib.device_read(made.device, found, BLOCK, 0) == BLOCK
    assert ffi.buffer(found)[:] == b"w" * BLOCK
