# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations of a disk as awaitables: a future for each, resolved when the eventfd is readable.

Belongs to one event loop and is called in its thread alone.
"""

import asyncio
import os
from collections.abc import Callable

from pyfio_virtio.disk.operations import Operations

Submit = Callable[[Operations, object], None]


class Face:
    """What an event loop has of a disk."""

    def __init__(self, operations: Operations, loop: asyncio.AbstractEventLoop) -> None:
        self._operations = operations
        self._loop = loop
        self._fd = operations.fd
        loop.add_reader(self._fd, self._collect)

    async def wait_for(self, submit: Submit) -> int:
        """Submits with a future as the key, and waits for its completion."""
        future: asyncio.Future[int] = self._loop.create_future()
        submit(self._operations, future)
        try:
            return await future
        except asyncio.CancelledError:
            self._operations.cancel(future)
            raise

    def _collect(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        while (done := self._operations.get_completed()) is not None:
            future = done.key
            if not isinstance(future, asyncio.Future) or future.done():
                continue
            if done.error is not None:
                future.set_exception(done.error)
            else:
                future.set_result(done.count)

    def close(self) -> None:
        """Futures that still wait are cancelled."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._operations.close()
