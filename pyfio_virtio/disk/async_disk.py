# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk for asyncio: the calls of Disk as coroutines.

    async with pyfio_virtio.aio.open("vhost.sock") as disk:
        await disk.pwrite(b"hello", 1000)
        print(await disk.pread(5, 1000))

Each call has the name, the arguments and the result that it has on Disk. Any number of tasks of one
event loop may call. A task that is cancelled gives its operation up and ends at once. An operation
that takes too long raises TimeoutError, and the other failures raise DiskError, too.
"""

import asyncio
import contextlib
import errno
import inspect
import os
from collections.abc import Callable, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec

from pyfio_virtio.disk.arguments import listed
from pyfio_virtio.disk.disk import Disk, open_disk
from pyfio_virtio.disk.operations import Completion, Operations
from pyfio_virtio.engine.engine import DeviceInfo
from pyfio_virtio.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer

P = ParamSpec("P")
Submit = Callable[[Operations, object], None]
Move = Callable[[Operations, "Buffer", int, object], None]
CLOSED = "the disk was closed while this was awaited"


class AsyncDisk:
    """aio.open() makes it. It belongs to the event loop in which it was opened."""

    def __init__(self, disk: Disk) -> None:
        """Takes over the disk, and closes it when it is closed itself."""
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self._operations = disk.operations()
        self._waiting: set[asyncio.Future[int]] = set()
        # A duplicate, because the loop may still watch it when the disk is closed.
        self._fd = os.dup(self._operations.fd)
        self._loop.add_reader(self._fd, self._collect)

    async def close(self) -> None:
        """Gives up the operations in flight and disconnects. Buffers from alloc() remain valid.

        Operations that are awaited end with ECANCELED, and later calls with EBADF.
        """
        self._collect()
        try:
            await asyncio.to_thread(self._disk.close)
        finally:
            self._end()

    @property
    def info(self) -> DeviceInfo:
        return self._disk.info

    @property
    def size(self) -> int:
        return self._disk.size

    @property
    def block_size(self) -> int:
        return self._disk.block_size

    # ---- reading and writing -------------------------------------------------------------------

    async def pread(self, size: int, offset: int) -> bytes:
        """Reads `size` bytes, or fewer at the end of the disk, as os.pread() does."""
        buffer = self._disk.buffer_for(size, offset)
        count = await self._wait_for(lambda op, key: op.read(buffer, offset, key))
        return bytes(memoryview(buffer)[:count])

    async def preadv(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Reads into writable buffers in turn. Returns the number of bytes, as os.preadv() does."""
        return await self._move(Operations.read, buffers, offset)

    async def pwrite(self, data: "Buffer", offset: int) -> int:
        """Writes `data`, or less at the end of the disk. Returns the number of bytes."""
        return await self._wait_for(lambda op, key: op.write(data, offset, key))

    async def pwritev(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Writes buffers in turn. Returns the number of bytes, as os.pwritev() does."""
        return await self._move(Operations.write, buffers, offset)

    async def _move(self, submit: Move, buffers: Iterable["Buffer"], offset: int) -> int:
        done = 0
        for buffer in listed(buffers):
            start = offset + done
            count = await self._wait_for(partial(_submit_one, submit, buffer, start))
            done += count
            if count < memoryview(buffer).nbytes:
                break
        return done

    async def flush(self) -> None:
        """Returns when everything that was written before is on stable storage."""
        await self._wait_for(lambda op, key: op.flush(key))

    async def discard(self, offset: int, size: int) -> None:
        """Tells the disk that these bytes are not needed. Only whole blocks in the range change."""
        await self._wait_for(lambda op, key: op.discard(offset, size, key))

    async def write_zeroes(self, offset: int, size: int) -> None:
        await self._wait_for(lambda op, key: op.write_zeroes(offset, size, key))

    async def _wait_for(self, submit: Submit) -> int:
        """Submits with a future as the key, and waits for its completion."""
        self._check_loop()
        future: asyncio.Future[int] = self._loop.create_future()
        submit(self._operations, future)
        self._waiting.add(future)
        try:
            return await future
        except asyncio.CancelledError:
            with contextlib.suppress(DiskError):  # the disk was closed meanwhile
                self._operations.cancel(future)
            raise
        finally:
            self._waiting.discard(future)

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise DiskError(
                errno.EINVAL, "another event loop opened this disk: open it again in this one"
            )

    # ---- memory ----------------------------------------------------------------------------------

    async def alloc(self, size: int, alignment: int = 4096) -> memoryview:
        """Returns a writable buffer in shared memory, as Disk.alloc() does."""
        return await asyncio.to_thread(self._disk.alloc, size, alignment)

    async def register(self, memory: "Buffer", fd: int, file_offset: int = 0) -> None:
        """Registers `memory`, a shared mapping of `fd`, as Disk.register() does."""
        await asyncio.to_thread(self._disk.register, memory, fd, file_offset)

    async def unregister(self, memory: "Buffer") -> None:
        """Ends register() for `memory`, as Disk.unregister() does."""
        await asyncio.to_thread(self._disk.unregister, memory)

    # ---- completions ---------------------------------------------------------------------------

    def _collect(self) -> None:
        """Ends the waits of the operations that have completed. Called in the loop's thread."""
        if self._fd < 0:
            return
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        try:
            while (done := self._operations.get_completed()) is not None:
                _resolve(done)
            while (overdue := self._operations.get_overdue()) is not None:
                _resolve(overdue)
        except DiskError:  # the disk was closed
            self._end()

    def _end(self) -> None:
        """Ends all waits, because the disk is closed."""
        if self._fd < 0:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        for future in self._waiting:
            if not future.done():
                future.set_exception(DiskError(errno.ECANCELED, CLOSED))

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


def _submit_one(submit: Move, buffer: "Buffer", offset: int, op: Operations, key: object) -> None:
    submit(op, buffer, offset, key)


def _resolve(done: Completion) -> None:
    future = done.key
    if not isinstance(future, asyncio.Future) or future.done():
        return
    if done.error is not None:
        future.set_exception(done.error)
    else:
        future.set_result(done.count)


# ---- opening -------------------------------------------------------------------------------------


class Opening:
    """A disk to be opened: `async with` opens and closes it, `await` opens it."""

    def __init__(self, opener: Callable[[], Disk]) -> None:
        self._opener = opener

    async def _open(self) -> AsyncDisk:
        return AsyncDisk(await asyncio.to_thread(self._opener))

    def __await__(self) -> Generator[None, None, AsyncDisk]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncDisk:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.close()


def _awaitable(opener: Callable[P, Disk]) -> Callable[P, Opening]:
    def opening(*args: P.args, **options: P.kwargs) -> Opening:
        return Opening(partial(opener, *args, **options))

    opening.__doc__ = opener.__doc__
    signature = inspect.signature(opener)
    opening.__signature__ = signature.replace(return_annotation=Opening)  # type: ignore[attr-defined]
    return opening


open_async_disk = _awaitable(open_disk)
