# SPDX-License-Identifier: GPL-2.0-or-later
"""One call at a time beside the loop of a session, for what takes seconds: a disk is made.

Owns a thread that lives as long as its process, because the kernel kills a back-end when the thread
that started it ends. The loop polls fileno() and then takes the result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from pyfio_virtio.errors import MachineError, PyfioVirtioError
from pyfio_virtio.machine import signals

T = TypeVar("T")


class Background(Generic[T]):
    """A thread that makes the calls. It is started with the first one."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self._results: SimpleQueue[T | PyfioVirtioError] = SimpleQueue()
        self._reader, self._writer = os.pipe()
        self._thread: threading.Thread | None = None
        self.is_busy = False

    def fileno(self) -> int:
        """Readable when there is a result."""
        return self._reader

    def begin(self, call: Callable[[], T]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            with signals.held_from_threads():
                self._thread.start()
        self.is_busy = True
        self._calls.put(call)

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            try:
                result: T | PyfioVirtioError = call()
            except PyfioVirtioError as error:
                result = error
            except (OSError, MemoryError) as error:
                result = MachineError("this host failed", str(error) or "there is no memory left")
            self._results.put(result)
            os.write(self._writer, b".")

    def result(self) -> T:
        """What the call returned. Raises what it raised."""
        os.read(self._reader, 1)
        self.is_busy = False
        result = self._results.get()
        if isinstance(result, PyfioVirtioError):
            raise result
        return result
