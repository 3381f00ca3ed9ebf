# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk behind a vhost-user socket, to read and write from Python.

    with pyfio_virtio.open("vhost.sock", wait="adaptive") as disk:
        disk.pwrite(b"hello", 1000)
        disk.pread(5, 1000)

Any number of threads may read and write any bytes at any offset. A call that waits releases the
interpreter's lock. Whole blocks in memory from alloc() are transferred without a copy. A call that
fails raises DiskError, which is an OSError with an errno. Offsets and sizes are in bytes. read(),
read_into(), write() and sync() are for asyncio; operations() is for many without asyncio.
"""

import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyfio_virtio.disk.operations import Operations
from pyfio_virtio.disk.session import Session, pointer_to, timeout_ms
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import UsageError

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Buffer

    from pyfio_virtio.disk.awaitables import Face

DEVICES = ("auto", "blk", "scsi")
HUGEPAGES = ("auto", "off", "2m", "1g")
# As in fio and in C: adaptive, or sleepy if the engine was built with SLEEPY_POLL.
DEFAULT_WAIT = "default"
# Limits of vhost-user's queue index, of a ring, and of a virtio-scsi address.
MAX_QUEUES, MAX_DEPTH = 256, 32768
MAX_TARGET, MAX_LUN = 255, 16383
MAX_SLEEPY_POLL_US = 1_000_000


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
) -> "Disk":
    """Connects to the back-end that serves `socket`.

    `wait` is event, busy, sleepy, adaptive or default, which fio also uses. `scsi_address` is a
    target and a LUN. `depth` is the largest number of requests in flight on each of the `queues`.
    `memory_bytes` is shared at once for alloc(), because some back-ends do not accept more memory
    later. A request that makes no progress for `request_timeout_s` fails. Where a number is 0, the
    default applies.
    """
    ffi, lib = engine.library().ffi, engine.library().lib
    config = ffi.new("struct device_config *")
    path = ffi.new("char[]", os.fsencode(socket))  # must live as long as config
    config.socket = path
    config.type = getattr(lib, f"DEVICE_{_one_of('device', device, DEVICES).upper()}")
    config.hugepages = HUGEPAGES.index(_one_of("hugepages", hugepages, HUGEPAGES))
    config.num_queues = _whole("queues", queues, MAX_QUEUES)
    config.depth = _whole("depth", depth, MAX_DEPTH)
    config.memory_bytes = _whole("memory_bytes", memory_bytes, engine.MAX_BYTES)
    config.connect_timeout_ms = timeout_ms("connect_timeout_s", connect_timeout_s)
    if scsi_address is not None:
        target, lun = scsi_address
        config.scsi_target = _whole("the target", target, MAX_TARGET)
        config.scsi_lun = _whole("the LUN", lun, MAX_LUN)
        config.scsi_address_set = True
    options = ffi.new("struct attach_options *")
    options.wait = engine.check(lib.wait_named(wait.encode()))
    options.sleepy_poll_us = _whole("sleepy_poll_us", sleepy_poll_us, MAX_SLEEPY_POLL_US)
    options.request_timeout_ms = timeout_ms("request_timeout_s", request_timeout_s)
    return Disk(Session(config, options))


def _one_of(name: str, value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise UsageError(f"{name}={value}", "", f"use one of {', '.join(values)}")
    return value


def _whole(name: str, value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise UsageError(f"{name}={value}", "", f"it must be from 0 to {most}")
    return value


class Disk:
    """open_disk() makes it. Any thread may call each method until close()."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._faces: dict[asyncio.AbstractEventLoop, Face] = {}
        self._lock = threading.RLock()  # guards _faces
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

        Waiting calls of other threads and tasks end with ECANCELED, and later calls with EBADF.
        """
        with self._lock:
            for face in self._faces.values():
                face.collect()
        self._session.close()
        # From here on no new face is made, because the session is closed.
        with self._lock:
            faces, self._faces = self._faces, {}
        for face in faces.values():
            face.close()

    @property
    def size(self) -> int:
        return self.info.capacity_bytes

    @property
    def block_size(self) -> int:
        return self.info.block_size

    # ---- calls that wait -----------------------------------------------------------------------

    def pread(self, size: int, offset: int) -> bytes:
        """Reads `size` bytes, or fewer at the end of the disk, as os.pread() does."""
        buffer = bytearray(self._fit(size, offset))
        count = self.preadv([buffer], offset)
        return bytes(memoryview(buffer)[:count])

    def _fit(self, size: int, offset: int) -> int:
        """The part of `size` that is on the disk, so that no memory is allocated for more."""
        size, offset = engine.in_bytes("size", size), engine.in_bytes("offset", offset)
        return min(size, max(0, self.size - offset))

    def preadv(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Reads into writable buffers in turn. Returns the number of bytes, as os.preadv() does."""
        return self._move(engine.library().lib.device_read, buffers, offset, writable=True)

    def pwrite(self, data: "Buffer", offset: int) -> int:
        return self.pwritev([data], offset)

    def pwritev(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Writes buffers in turn. Returns the number of bytes, as os.pwritev() does."""
        return self._move(engine.library().lib.device_write, buffers, offset, writable=False)

    def _move(
        self,
        call: Callable[[object, object, int, int], int],
        buffers: Iterable["Buffer"],
        offset: int,
        *,
        writable: bool,
    ) -> int:
        done = 0
        for buffer in buffers:
            with pointer_to(buffer, writable=writable) as pointer, self._session:
                start = engine.in_bytes("offset", offset + done)
                count = engine.check(call(self._session.device, pointer, len(pointer), start))
            done += count
            if count < len(pointer):
                break
        return done

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
        start, length = engine.in_bytes("offset", offset), engine.in_bytes("size", size)
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

        An example is an mmap.mmap of a memfd. The memory stays in use until the disk is closed. A
        read that was cancelled or failed with ETIMEDOUT may still change it until then.
        """
        self._session.register(memory, fd, file_offset)

    # ---- without waiting ------------------------------------------------------------------------

    def operations(self) -> Operations:
        """Returns a new set of operations, which are submitted now and collected later."""
        return Operations(self._session)

    async def read(self, size: int, offset: int) -> bytes:
        buffer = bytearray(self._fit(size, offset))
        count = await self.read_into(buffer, offset)
        return bytes(memoryview(buffer)[:count])

    async def read_into(self, buffer: "Buffer", offset: int) -> int:
        return await self._face().wait_for(lambda op, key: op.read(buffer, offset, key))

    async def write(self, data: "Buffer", offset: int) -> int:
        return await self._face().wait_for(lambda op, key: op.write(data, offset, key))

    async def sync(self) -> None:
        """The same as flush()."""
        await self._face().wait_for(lambda op, key: op.flush(key))

    def _face(self) -> "Face":
        """The face of the running event loop."""
        import asyncio

        from pyfio_virtio.disk.awaitables import Face

        loop = asyncio.get_running_loop()
        with self._lock:
            face = self._faces.get(loop)
            if face is None:
                self._forget_closed_loops()
                face = self._faces[loop] = Face(self.operations(), loop)
        return face

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._faces if loop.is_closed()]:
            self._faces.pop(loop).close()
