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

from pyfio_virtio.disk.arguments import listed, wrong_buffer
from pyfio_virtio.disk.disk import Disk, open_disk
from pyfio_virtio.disk.operation import Discard, Flush, Operation, Read, Write, WriteZeroes
from pyfio_virtio.disk.uncopied import Uncopied
from pyfio_virtio.engine.engine import DeviceInfo, Reconnects
from pyfio_virtio.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer

P = ParamSpec("P")
# The turns of the loop without a completion after which the eventfd takes over.
MAX_PATIENCE = 16
CLOSED = "the disk was closed while this was awaited"


class AsyncDisk(Uncopied):
    """aio.open() makes it. It belongs to the event loop in which it was opened."""

    def __init__(self, disk: Disk) -> None:
        """Takes over the disk, and closes it when it is closed itself."""
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self._operations = disk.operations()
        self._next: list[Operation] = []  # to be submitted at the end of this turn of the loop
        self._waiting: set[asyncio.Future[int]] = set()
        # A duplicate, because the loop may still watch it when the disk is closed.
        self._fd = os.dup(self._operations.fd)
        self._loop.add_reader(self._fd, self._wake)
        self._operations.arm()
        self._is_looking = False  # at the next turn of the loop
        self._fruitless = 0  # turns without a completion
        self._patience = MAX_PATIENCE

    async def close(self) -> None:
        """Gives up the operations in flight and disconnects. Buffers from alloc() remain valid.

        Operations that are awaited end with ECANCELED, and later calls with EBADF.
        """
        self._look()
        try:
            await asyncio.to_thread(self._disk.close)
        finally:
            self._end()

    @property
    def info(self) -> DeviceInfo:
        """What the back-end offers, and what was negotiated."""
        return self._disk.info

    @property
    def size(self) -> int:
        """The size of the disk in bytes."""
        return self._disk.size

    @property
    def block_size(self) -> int:
        """The size of a logical block in bytes."""
        return self._disk.block_size

    # ---- reading and writing -------------------------------------------------------------------

    @property
    def reconnects(self) -> Reconnects:
        """How often the back-end hung up and came back so far."""
        return self._disk.reconnects

    async def pread(self, size: int, offset: int) -> bytes:
        """Reads `size` bytes, or fewer at the end of the disk, as os.pread() does."""
        buffer = self._disk.buffer_for(size, offset)
        count = await self._carry_out(Read(buffer, offset))
        return bytes(memoryview(buffer)[:count])

    async def preadv(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Reads into writable buffers in turn. Returns the number of bytes, as os.preadv() does."""
        return await self._carry_out(Read(listed(buffers), offset))

    async def pwrite(self, data: "Buffer", offset: int) -> int:
        """Writes `data`, or less at the end of the disk. Returns the number of bytes."""
        if isinstance(data, (list, tuple)):  # Write accepts these
            raise wrong_buffer("data", data, writable=False)
        return await self._carry_out(Write(data, offset))

    async def pwritev(self, buffers: Iterable["Buffer"], offset: int) -> int:
        """Writes buffers in turn. Returns the number of bytes, as os.pwritev() does."""
        return await self._carry_out(Write(listed(buffers), offset))

    async def flush(self) -> None:
        """Returns when everything that was written before is on stable storage."""
        await self._carry_out(Flush())

    async def discard(self, offset: int, size: int) -> None:
        """Tells the disk that these bytes are not needed. Only whole blocks in the range change."""
        await self._carry_out(Discard(offset, size))

    async def write_zeroes(self, offset: int, size: int) -> None:
        await self._carry_out(WriteZeroes(offset, size))

    async def _carry_out(self, operation: Operation) -> int:
        """Waits for an operation, which is submitted with those of the loop's other tasks."""
        if asyncio.get_running_loop() is not self._loop:
            raise DiskError(
                errno.EINVAL, "another event loop opened this disk: open it again in this one"
            )
        operation.claim()
        future: asyncio.Future[int] = self._loop.create_future()
        operation.key = future
        if not self._next:
            self._loop.call_soon(self._submit)
        self._next.append(operation)
        self._waiting.add(future)
        try:
            return await future
        except (asyncio.CancelledError, GeneratorExit):
            self._give_up(operation)
            raise
        finally:
            self._waiting.discard(future)

    def _submit(self) -> None:
        """Submits what the tasks have asked for in this turn of the loop."""
        batch, self._next = self._next, []
        self._start_looking()
        try:
            while (begun := self._operations.begin(batch)) < len(batch):
                _resolve(batch[begun])
                batch = batch[begun + 1 :]
        except DiskError as error:  # the disk is closed
            for operation in batch:
                operation.error = error
                _resolve(operation)

    def _give_up(self, operation: Operation) -> None:
        if operation in self._next:
            self._next.remove(operation)
            operation.release()
            return
        with contextlib.suppress(DiskError):  # the disk was closed meanwhile
            self._operations.cancel(operation)

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

    def _start_looking(self) -> None:
        """Looks at each turn of the loop, and lets the eventfd take over if that finds nothing.

        A fast disk has answered by the next turn, and the eventfd takes several times as long.
        """
        self._fruitless = 0
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._is_looking = False
        if self._look():
            self._patience = min(self._patience + 1, MAX_PATIENCE)
            self._fruitless = -1
        if self._fd < 0 or not self._operations:
            return
        if self._fruitless < self._patience:
            self._fruitless += 1
            self._is_looking = True
            self._loop.call_soon(self._look_again)
        else:
            self._patience //= 2
            with contextlib.suppress(DiskError):  # the disk was closed; the eventfd says so
                self._operations.arm()

    def _wake(self) -> None:
        """The eventfd is readable."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._start_looking()

    def _look(self) -> int:
        """Ends the waits of the operations that have ended. Returns how many."""
        if self._fd < 0:
            return 0
        try:
            ended = self._operations.look()
        except DiskError:  # the disk was closed
            self._end()
            return 0
        for operation in ended:
            _resolve(operation)
        return len(ended)

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
            for operation in self._next:
                operation.release()


def _resolve(operation: Operation) -> None:
    """Ends the wait for an operation."""
    future = operation.key
    if not isinstance(future, asyncio.Future) or future.done():
        return
    if operation.error is not None:
        future.set_exception(operation.error)
    else:
        future.set_result(operation.count)


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
