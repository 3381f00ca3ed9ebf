# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations of a disk as awaitables: each has a future, which is resolved when it completes.

The eventfd of the operations tells the event loop when to collect them. A Face belongs to one event
loop and is called in its thread, except collect() and close(), which any thread may call.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable

from pyfio_virtio.disk.operations import Completion, Operations
from pyfio_virtio.errors import DiskError

Submit = Callable[[Operations, object], None]
CLOSED = "the disk was closed while this was awaited"


class Face:
    """The operations of a disk in one event loop."""

    def __init__(self, operations: Operations, loop: asyncio.AbstractEventLoop) -> None:
        self._operations = operations
        self._loop = loop
        self._waiting: set[asyncio.Future[int]] = set()
        # A duplicate, because the loop may still watch it when the operations are closed.
        self._fd = os.dup(operations.fd)
        loop.add_reader(self._fd, self._collect)

    async def wait_for(self, submit: Submit) -> int:
        """Submits with a future as the key, and waits for its completion."""
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

    def _collect(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        with contextlib.suppress(DiskError):  # the disk was closed meanwhile; _end() follows
            while (done := self._operations.get_completed()) is not None:
                _resolve(done)
            while (overdue := self._operations.get_overdue()) is not None:
                _resolve(overdue)

    def collect(self) -> None:
        """Collects the operations that have completed, if this is the loop's thread."""
        if self._is_in_loop():
            self._collect()

    def close(self) -> None:
        """Closes the operations at once. Awaited ones end with an error, in the loop's thread."""
        self._operations.close()
        if self._is_in_loop():
            self._end()
            return
        # If the loop is closed or does not run any more, no task awaits an operation.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _is_in_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _end(self) -> None:
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        for future in self._waiting:
            if not future.done():
                future.set_exception(DiskError(errno.ECANCELED, CLOSED))

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


def _resolve(done: Completion) -> None:
    future = done.key
    if not isinstance(future, asyncio.Future) or future.done():
        return
    if done.error is not None:
        future.set_exception(done.error)
    else:
        future.set_result(done.count)
