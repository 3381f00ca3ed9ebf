# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk behind a vhost-user socket, to read and write from Python.

    with pyfio_virtio.open("vhost.sock", wait="adaptive") as disk:
        disk.pwrite(b"hello", 1000)
        disk.pread(5, 1000)

Any number of threads may read and write any bytes at any offset. A call that waits releases the
interpreter's lock. Whole blocks in memory from alloc() are transferred without a copy. A call that
fails raises DiskError, which is an OSError with an errno. Offsets and sizes are in bytes.
operations() submits many operations without waiting. For asyncio, see pyfio_virtio.aio.
"""

import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyfio_virtio.disk.arguments import (
    CData,
    one_of,
    parts_of,
    pointer_to,
    pointers_to,
    timeout_ms,
    whole,
)
from pyfio_virtio.disk.operations import Operations
from pyfio_virtio.disk.session import Session
from pyfio_virtio.disk.uncopied import Uncopied
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import ArgumentError

if TYPE_CHECKING:
    from typing_extensions import Buffer

Move = Callable[[CData, CData, int, int], int]
DEVICES = ("auto", "blk", "scsi")
HUGEPAGES = ("auto", "off", "2m", "1g")
# As in fio and in C: adaptive, or sleepy if the engine was built with SLEEPY_POLL.
DEFAULT_WAIT = "default"
# Limits of vhost-user's queue index, of a ring, and of a virtio-scsi address.
MAX_QUEUES, MAX_DEPTH = 256, 32768
MAX_TARGET, MAX_LUN = 255, 16383


def open_disk(
    socket: str | os.PathLike[str],
    *,
    wait: str = DEFAULT_WAIT,
    sleepy_poll_us: int = 0,
    device: str = "auto",
    scsi_address: tuple[int, int] | None = None,
    queues: int = 1,
    depth: int = 128,
    hugepages: str = "auto",
    memory_bytes: int = 0,
    connect_timeout_s: float = 5.0,
    request_timeout_s: float = 30.0,
    reconnect_timeout_s: float = 0.0,
) -> "Disk":
    """Connects to the back-end that serves `socket`.

    `wait` is event, busy, sleepy, adaptive or default, which fio also uses. `scsi_address` is a
    target and a LUN. `depth` is the largest number of requests in flight on each of the `queues`.
    `memory_bytes` is shared at once for alloc(), because some back-ends do not accept more memory
    later. A request that makes no progress for `request_timeout_s` fails. If the back-end hangs up,
    the disk waits for it for `reconnect_timeout_s` and then goes on, with the operations that were
    in flight; 0: they fail at once. Where another number is 0, the default applies.
    """
    ffi, lib = engine.library().ffi, engine.library().lib
    config = ffi.new("struct device_config *")
    path = ffi.new("char[]", _path(socket))  # must live as long as config
    config.socket = path
    config.type = getattr(lib, f"DEVICE_{DEVICES[one_of('device', device, DEVICES)].upper()}")
    config.hugepages = one_of("hugepages", hugepages, HUGEPAGES)
    config.num_queues = whole("queues", queues, MAX_QUEUES)
    config.depth = whole("depth", depth, MAX_DEPTH)
    config.memory_bytes = whole("memory_bytes", memory_bytes)
    config.connect_timeout_ms = timeout_ms("connect_timeout_s", connect_timeout_s)
    config.reconnect_timeout_ms = timeout_ms("reconnect_timeout_s", reconnect_timeout_s)
    if scsi_address is not None:
        config.scsi_target, config.scsi_lun = _address(scsi_address)
        config.scsi_address_set = True
    options = ffi.new("struct attach_options *")
    options.wait = one_of("wait", wait, engine.waits())
    options.sleepy_poll_us = whole("sleepy_poll_us", sleepy_poll_us, lib.WAIT_MAX_SLEEPY_POLL_US)
    options.request_timeout_ms = timeout_ms("request_timeout_s", request_timeout_s)
    return Disk(Session(config, options))


def _path(socket: str | os.PathLike[str]) -> bytes:
    try:
        path = os.fsencode(socket)
    except TypeError:
        kind = type(socket).__name__
        raise TypeError(f"socket is of the type {kind}: it must be a path") from None
    if not path:
        raise ArgumentError(f"socket={socket!r}: it must be a path")
    if b"\0" in path:
        raise ArgumentError(f"socket={socket!r}: a path has no null character")
    return path


def _address(scsi_address: tuple[int, int]) -> tuple[int, int]:
    try:
        target, lun = scsi_address
    except (TypeError, ValueError):
        sentence = f"scsi_address={scsi_address!r}: it must be a target and a LUN, such as (0, 1)"
        raise TypeError(sentence) from None
    return whole("the target", target, MAX_TARGET), whole("the LUN", lun, MAX_LUN)


class Disk(Uncopied):
    """pyfio_virtio.open() makes it. Any thread may call each method until close()."""

    def __init__(self, session: Session) -> None:
        self._session = session
        with session:
            self.info = engine.device_info(session.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives up the operations in flight and disconnects. Buffers from alloc() remain valid.

        Waiting calls of other threads end with ECANCELED, and later calls with EBADF.
        """
        self._session.close()

    @property
    def size(self) -> int:
        """The size of the disk in bytes."""
        return self.info.capacity_bytes

    @property
    def block_size(self) -> int:
        """The size of a logical block in bytes."""
        return self.info.block_size

    @property
    def reconnects(self) -> engine.Reconnects:
        """How often the back-end hung up and came back so far."""
        with self._session:
            return engine.reconnects(self._session.device)

    # ---- calls that wait -----------------------------------------------------------------------

    def pread(self, size: int, offset: int) -> bytes:
        """Reads `size` bytes, or fewer at the end of the disk, as os.pread() does."""
        buffer = self.buffer_for(size, offset)
        count = self.preadv([buffer], offset)
        return bytes(memoryview(buffer)[:count])

    def buffer_for(self, size: int, offset: int) -> bytearray:
        """A new buffer for the part of `size` bytes at `offset` that is on the disk."""
        size, offset = whole("size", size), whole("offset", offset)
        return bytearray(min(size, max(0, self.size - offset)))

    def preadv(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Reads into writable buffers in turn. Returns the number of bytes, as os.preadv() does."""
        lib = engine.library().lib
        return self._move(lib.device_read, lib.device_readv, pointers_to(buffers, True), offset)

    def pwrite(self, data: "Buffer", offset: int) -> int:
        """Writes `data`, or less at the end of the disk. Returns the number of bytes."""
        lib = engine.library().lib
        pointers = [pointer_to("data", data, False)]
        return self._move(lib.device_write, lib.device_writev, pointers, offset)

    def pwritev(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Writes buffers in turn. Returns the number of bytes, as os.pwritev() does."""
        lib = engine.library().lib
        return self._move(lib.device_write, lib.device_writev, pointers_to(buffers, False), offset)

    def _move(self, one: Move, many: Move, pointers: list[CData], offset: int) -> int:
        """Calls `one` for one buffer, because the engine copies small ones of `many`."""
        try:
            start = whole("offset", offset)
            with self._session:
                device, count = self._session.device, len(pointers)
                if count == 1:
                    return engine.check(one(device, pointers[0], len(pointers[0]), start))
                return engine.check(many(device, parts_of(pointers), count, start))
        finally:
            for each in pointers:
                engine.library().ffi.release(each)

    def flush(self) -> None:
        """Returns when everything that was written before is on stable storage."""
        with self._session:
            engine.check(engine.library().lib.device_flush(self._session.device))

    def discard(self, offset: int, size: int) -> None:
        """Tells the disk that these bytes are not needed. Only whole blocks in the range change."""
        self._change(engine.library().lib.device_discard, offset, size)

    def write_zeroes(self, offset: int, size: int) -> None:
        self._change(engine.library().lib.device_write_zeroes, offset, size)

    def _change(self, call: Callable[[object, int, int], int], offset: int, size: int) -> None:
        start, length = whole("offset", offset), whole("size", size)
        with self._session:
            engine.check(call(self._session.device, start, length))

    # ---- memory ----------------------------------------------------------------------------------

    def alloc(self, size: int, alignment: int = 4096) -> memoryview:
        """Returns a writable buffer in shared memory, which is freed with its last reference.

        numpy.frombuffer(disk.alloc(n), ...) uses it without a copy. Its content is undefined at
        first. If an operation on it was cancelled or failed with ETIMEDOUT, the back-end may still
        change it, so drop it and allocate another one. Its memory is not allocated again before
        the back-end has finished with it.
        """
        return self._session.alloc(size, alignment)

    def register(self, memory: "Buffer", fd: int, file_offset: int = 0) -> None:
        """Registers `memory`, a shared mapping of `fd`, so that whole blocks in it are not copied.

        An example is an mmap.mmap of a memfd. The memory stays in use until it is unregistered or
        the disk is closed. A read that was cancelled or failed with ETIMEDOUT may still change it.
        """
        self._session.register(memory, fd, file_offset)

    def unregister(self, memory: "Buffer") -> None:
        """Ends register() for `memory`, which can be closed after that.

        EBUSY: the back-end still has it for an operation, perhaps for one that was given up.
        """
        self._session.unregister(memory)

    # ---- without waiting ------------------------------------------------------------------------

    def operations(self) -> Operations:
        """Returns a new set of operations, which are submitted now and collected later."""
        return Operations(self._session)
