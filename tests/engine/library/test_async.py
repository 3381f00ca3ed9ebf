# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations of C in batches, with parts and with flags: library/async.c, submissions.c, prepare.c.

Most operations use memory that is not shared, so their data goes through bounce buffers, and a
write of a few bytes is a read and a write of their block.
"""

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyfio_virtio.backends.backends import Backend
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.pyfio_virtio.disks import DISK_BYTES, SCSI, Kind, Server

Serve = Callable[..., Backend]
BLOCK = 4096
OLD = b"o" * BLOCK
READ, WRITE, FLUSH = lib.OPERATION_READ, lib.OPERATION_WRITE, lib.OPERATION_FLUSH
FUA, BARRIER = lib.OPERATION_FUA, lib.OPERATION_BARRIER


@dataclass
class Async:
    """A struct async *, and what it works on."""

    device: CData
    handle: CData
    kept: list[CData] = field(default_factory=list)

    def operation(
        self, kind: int, data: bytes | bytearray | CData = b"", offset: int = 0, **more: object
    ) -> CData:
        buffer = ffi.new("char[]", data) if isinstance(data, bytes) else ffi.from_buffer(data)
        size = len(data)
        fields = {"type": kind, "buffer": buffer, "size_bytes": size, "offset_bytes": offset}
        op = ffi.new("struct operation *", {**fields, **more})
        self.kept += [buffer, op]
        return op

    def submit(self, *ops: CData) -> int:
        return int(lib.async_submit_many(self.handle, list(ops), len(ops)))

    def collect(self, most: int = 64) -> list[CData]:
        room = ffi.new("struct operation *[]", most)
        return list(room[0 : lib.async_collect(self.handle, room, most)])

    def all_results(self) -> list[int]:
        """In the order in which they completed."""
        found: list[int] = []
        while lib.async_completed(self.handle, 1, -1) > 0:
            found += [op.result for op in self.collect()]
        return found


def attach(backend: Backend, timeout_ms: int = 0) -> CData:
    path = ffi.new("char[]", backend.socket.encode())
    device = ffi.new("struct device **")
    config = ffi.new("struct device_config *", {"socket": path})
    options = ffi.new("struct attach_options *", {"wait": 1, "request_timeout_ms": timeout_ms})
    assert lib.device_attach(device, config, options) == 0, sentence()
    return device[0]


@pytest.fixture
def make(server: Server) -> Iterator[Callable[..., Async]]:
    made: list[Async] = []

    def start(timeout_ms: int = 0) -> Async:
        device, handle = attach(server.backend, timeout_ms), ffi.new("struct async **")
        assert lib.async_open(handle, device) == 0
        made.append(Async(device, handle[0]))
        return made[-1]

    yield start
    for each in made:
        lib.async_close(each.handle)
        lib.device_detach(each.device)


@pytest.fixture
def server(serve: Serve) -> Server:
    """Its first block is OLD."""
    backend = Kind("builtin", 512).start(serve)
    device = attach(backend)
    assert lib.device_write(device, OLD, BLOCK, 0) == BLOCK
    lib.device_detach(device)
    return Server(backend)


@pytest.fixture
def made(make: Callable[..., Async]) -> Async:
    return make()


# ---- batches -----------------------------------------------------------------------------------


def test_a_batch_is_larger_than_the_queue(made: Async) -> None:
    ops = [made.operation(WRITE, b"%4d" % n, n * 512) for n in range(300)]
    assert made.submit(*ops) == 300
    assert made.all_results() == [4] * 300
    buffer = ffi.new("char[]", 300 * 512)
    assert lib.device_read(made.device, buffer, len(buffer), 0) == len(buffer)
    assert all(ffi.buffer(buffer, 300 * 512)[n * 512 :][:4] == b"%4d" % n for n in range(300))


def test_a_batch_ends_before_the_operation_that_is_refused(made: Async) -> None:
    good, bad = made.operation(WRITE, b"x"), made.operation(9)
    assert made.submit(good, good, bad, good) == 2
    assert sentence() == "9 is not a type of operation"
    assert made.submit(bad, good) == -errno.EINVAL
    assert made.submit() == 0
    assert made.all_results() == [1, 1]


def test_an_operation_that_failed_is_the_last_that_is_collected(
    make: Callable[..., Async], server: Server
) -> None:
    made = make()
    ops = [made.operation(READ, bytearray(8), key) for key in range(4)]
    with server.stopped():
        assert made.submit(*ops) == 4
        for op in (ops[1], ops[0]):
            lib.async_cancel(made.handle, op)
        for op in (ops[1], ops[0]):
            assert made.collect() == [op]
            assert sentence().endswith(f"a read of 8 bytes at {op.offset_bytes} was cancelled")
        assert made.collect() == []
    assert made.all_results() == [8, 8]


def test_a_batch_to_a_closed_async_is_refused(made: Async) -> None:
    lib.async_shutdown(made.handle)
    assert made.submit(made.operation(FLUSH)) == -errno.ECANCELED
    assert sentence().endswith("the operations were closed")


# ---- what is refused ---------------------------------------------------------------------------

PART = [{"iov_len": 1, "iov_base": ffi.cast("void *", 1)}]
NO_MEMORY = [{"iov_len": 0}, {"iov_len": 3}]
HUGE = [{"iov_len": (1 << 64) - 1, "iov_base": ffi.cast("void *", 1)}] * 2


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        (READ, {"flags": 4}, "a read with the flags 0x4: the flags are 1 (FUA), 2 (barrier)"),
        (READ, {"flags": FUA}, "a read with the flag 1 (FUA): only a write and a write-zeroes"),
        (FLUSH, {"flags": FUA | BARRIER}, "a flush with the flag 1 (FUA)"),
        (FLUSH, {"iov": PART, "iov_count": 1}, "a flush with 1 parts: only a read and a write"),
        (READ, {"iov_count": 1}, "whose iov is missing: it needs an iov with 1 to 1024 parts"),
        (READ, {"iov": PART, "iov_count": 1025}, "a read with 1025 parts: it needs an iov with"),
        (READ, {"iov": PART, "iov_count": 1, "size_bytes": 1}, "it can have only one of them"),
        (READ, {"iov": NO_MEMORY, "iov_count": 2}, "a buffer for its part 1, which has 3 bytes"),
        (
            READ,
            {"iov": HUGE, "iov_count": 1},
            "a size and an offset are at most 922337203685477580",
        ),
        (WRITE, {"iov": HUGE, "iov_count": 2}, "the 2 parts of a write have more than 922337203"),
    ],
)
def test_what_cannot_be_is_refused(
    made: Async, kind: int, more: dict[str, object], said: str
) -> None:
    fields = {
        key: ffi.new("struct iovec[]", value) if key == "iov" else value
        for key, value in more.items()
    }
    op = ffi.new("struct operation *", {"type": kind, **fields})
    assert made.submit(op) == -errno.EINVAL
    assert said in sentence()


# ---- parts -------------------------------------------------------------------------------------


sizes = st.sampled_from([0, 1, 511, 512, 4095, 4096, 8192, 65536, 70000, 131072])
some_parts = st.lists(st.tuples(sizes, st.booleans()), min_size=1, max_size=6)


@given(into=some_parts, out_of=some_parts, offset=st.sampled_from([0, 4096, 5, 4090, 4190000]))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_parts_are_moved_in_turn(
    made: Async, into: list[tuple[int, bool]], out_of: list[tuple[int, bool]], offset: int
) -> None:
    """Whatever the sizes of the parts are, and whether they are shared memory or not."""

    def parts(wanted: list[tuple[int, bool]]) -> tuple[CData, list[CData], int]:
        memory = [
            lib.device_alloc(made.device, size or 1, 512) if is_shared else ffi.new("char[]", size)
            for size, is_shared in wanted
        ]
        pieces = [
            ffi.buffer(ffi.cast("char *", m), s) for m, (s, _) in zip(memory, wanted, strict=True)
        ]
        fields = [{"iov_base": m, "iov_len": s} for m, (s, _) in zip(memory, wanted, strict=True)]
        return ffi.new("struct iovec[]", fields), [memory, pieces], sum(s for s, _ in wanted)

    source, (written, pieces), size = parts(out_of)
    data = bytes(n * 7 % 251 for n in range(size))
    at = 0
    for piece in pieces:
        piece[:] = data[at : at + len(piece)]
        at += len(piece)
    assert lib.device_writev(made.device, source, len(source), offset) == size
    target, (read, pieces), room = parts(into)
    op = made.operation(READ, offset=offset, iov=target, iov_count=len(target), buffer=ffi.NULL)
    assert made.submit(op) == 1
    assert made.all_results() == [room]
    found = b"".join(bytes(piece) for piece in pieces)
    assert found[:size] == data[: len(found)]
    for memory, wanted in ((written, out_of), (read, into)):
        for address, (_, is_shared) in zip(memory, wanted, strict=True):
            if is_shared:
                lib.device_free(made.device, address)


def test_parts_end_at_the_end_of_the_disk(made: Async) -> None:
    memory = ffi.new("char[]", b"x" * 10)
    parts = ffi.new(
        "struct iovec[]",
        [{"iov_base": memory, "iov_len": 5}, {"iov_base": memory + 5, "iov_len": 5}],
    )
    assert lib.device_readv(made.device, parts, 2, DISK_BYTES - 7) == 7
    assert ffi.buffer(memory, 10)[:] == bytes(7) + b"xxx"
    assert lib.device_readv(made.device, parts, 0, 0) == 0


# ---- FUA ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [(), SCSI])
def test_a_write_with_fua_is_flushed(serve: Serve, device: tuple[str, ...]) -> None:
    """The disk fails the flush, so the write fails."""
    backend = Kind("builtin", 512, (*device, "fault=error:type=flush")).start(serve)
    handle = ffi.new("struct async **")
    made = Async(attach(backend), ffi.NULL)
    assert lib.async_open(handle, made.device) == 0
    made.handle = handle[0]
    plain, fua = made.operation(WRITE, OLD), made.operation(WRITE, OLD, flags=FUA)
    zeroes = made.operation(lib.OPERATION_WRITE_ZEROES, flags=FUA)
    zeroes.size_bytes = BLOCK
    nothing = made.operation(WRITE, flags=FUA)
    assert made.submit(plain) == 1
    assert made.all_results() == [BLOCK]
    assert made.submit(fua, zeroes) == 2
    assert made.all_results() == [-errno.EIO, -errno.EIO]
    assert made.submit(nothing) == 1
    assert made.all_results() == [0]
    lib.async_close(made.handle)
    lib.device_detach(made.device)


# ---- barriers ----------------------------------------------------------------------------------


def test_a_barrier_begins_after_all_and_before_all(made: Async) -> None:
    """A write of a few bytes takes two requests, so a read beside it finds what was there."""
    before, after = bytearray(3), bytearray(3)
    ops = [
        made.operation(WRITE, b"one", 5),
        made.operation(READ, before, 5, flags=BARRIER),
        made.operation(WRITE, b"two", 5),
        made.operation(READ, after, 5, flags=BARRIER),
    ]
    assert made.submit(*ops) == 4
    assert made.all_results() == [3, 3, 3, 3]
    assert (bytes(before), bytes(after)) == (b"one", b"two")


def test_what_is_behind_a_barrier_is_submitted_later_too(made: Async) -> None:
    after = bytearray(3)
    for op in (
        made.operation(FLUSH),
        made.operation(WRITE, b"one", 5, flags=BARRIER),
        made.operation(READ, after, 5),
    ):
        assert lib.async_submit(made.handle, op) == 0
    assert len(made.all_results()) == 3
    assert bytes(after) == b"one"


def test_a_barrier_begins_if_an_operation_before_it_was_cancelled(
    made: Async, server: Server
) -> None:
    first = made.operation(READ, bytearray(8))
    with server.stopped():
        assert made.submit(first, made.operation(READ, bytearray(3), flags=BARRIER)) == 2
        lib.async_cancel(made.handle, first)
    assert made.all_results() == [-errno.ETIMEDOUT, 3]


def test_a_barrier_that_is_cancelled_holds_nothing_back(made: Async, server: Server) -> None:
    barrier = made.operation(READ, bytearray(3), flags=BARRIER)
    with server.stopped():
        ops = [made.operation(READ, bytearray(8)), barrier, made.operation(READ, bytearray(5))]
        assert made.submit(*ops) == 3
        lib.async_cancel(made.handle, barrier)
        assert made.collect() == [barrier]
    assert sorted(made.all_results()) == [5, 8]


def test_a_barrier_waits_for_memory_that_the_back_end_has(
    make: Callable[..., Async], server: Server
) -> None:
    """Of an operation that is overdue; then the barrier times out and holds nothing back."""
    made = make(50)
    shared = lib.device_alloc(made.device, BLOCK, BLOCK)
    first = made.operation(READ, ffi.buffer(shared, BLOCK))
    second = made.operation(READ, bytearray(3), flags=BARRIER)
    third = made.operation(READ, bytearray(5))
    with server.stopped():
        assert made.submit(first, second, third) == 3
        assert lib.async_completed(made.handle, 2, -1) == 2
        assert made.collect() == [second]
        said = "a read of 3 bytes at 0 has not begun: for 50 ms (request_timeout) no operation"
        assert said in sentence()
        assert made.collect() == [third]
        assert "did not complete a read of 5 bytes" in sentence()
        assert lib.async_get_overdue(made.handle) == first
    assert lib.async_completed(made.handle, 1, 5000) == 1
    assert made.collect() == [first]


def test_many_barriers_end_together(made: Async, server: Server) -> None:
    """Each of them begins because the one before it failed."""
    with server.stopped():
        ops = [made.operation(READ, bytearray(1), flags=BARRIER) for _ in range(20_000)]
        assert made.submit(*ops) == len(ops)
        lib.device_shutdown(made.device)
    assert made.all_results() == [-errno.ECANCELED] * len(ops)


def test_a_shutdown_is_the_reason_also_if_a_request_failed_before(serve: Serve) -> None:
    """The failed request is still in the ring, because nobody has looked."""
    faults = ("fault=error:type=read,count=1", "fault=lose:type=read,after=1")
    device = attach(serve("builtin", options=faults, block_size=512))
    handle = ffi.new("struct async **")
    assert lib.async_open(handle, device) == 0
    made = Async(device, handle[0])
    first, second = made.operation(READ, bytearray(512)), made.operation(READ, bytearray(512), 512)
    assert made.submit(first, second) == 2
    time.sleep(0.2)
    lib.device_shutdown(device)
    assert made.collect() == [first]
    assert made.collect() == [second]
    assert sentence().endswith("the disk was closed before this was done")
    lib.async_close(made.handle)
    lib.device_detach(device)
