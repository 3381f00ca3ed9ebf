# SPDX-License-Identifier: GPL-2.0-or-later
"""An attached device and its memory, kept alive as long as somebody uses them.

Any thread may enter a session; closing waits until all have left. The memory outlives it: a
buffer that a program still holds stays valid, whatever was closed. Nothing that Python code does
to these objects may crash the process.
"""

import errno
import math
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from weakref import WeakSet

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# A pointer or a structure whose type only C knows.
CData: TypeAlias = Any
# What the engine takes as a time.
MAX_MS = (1 << 31) - 1


class Cancellable(Protocol):
    """What has operations in flight on a session."""

    def cancel_all(self) -> None: ...
    def release(self) -> None: ...


def pointer_to(buffer: "Buffer", *, writable: bool) -> CData:
    """A char[] that holds on to the buffer; a context manager that lets go of it."""
    return engine.library().ffi.from_buffer("char[]", buffer, require_writable=writable)


def milliseconds(seconds: float) -> int:
    """A time as C takes it: 0 if it has passed, and 24 days at most."""
    if math.isnan(seconds):
        raise DiskError(errno.EINVAL, "a time must be a number")
    return round(min(max(0.0, seconds * 1000), MAX_MS))


class Session:
    """`with session as device:` is for the calls that need the struct device *."""

    def __init__(self, config: CData, options: CData) -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        made = lib.memory_create(config.hugepages)
        if not made:
            raise engine.failure(-errno.ENOMEM)
        self._memory = ffi.gc(made, lib.memory_destroy)
        config.memory = self._memory
        handle = ffi.new("struct device **")
        engine.check(lib.device_attach(handle, config, options))
        self._device: CData | None = handle[0]
        self._is_closing = False
        self._users = 0
        self._changed = threading.Condition()
        self._registered: list[CData] = []
        self._in_flight: WeakSet[Cancellable] = WeakSet()

    def __enter__(self) -> CData:
        with self._changed:
            if self._is_closing:
                raise DiskError(errno.EBADF, "the disk is closed")
            self._users += 1
        return self._device

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._users -= 1
            if self._is_closing:
                self._changed.notify_all()

    def __del__(self) -> None:
        if getattr(self, "_device", None) is not None:
            self.close()

    def close(self) -> None:
        """What is in flight is given up; calls that wait end by themselves. Any number of times."""
        with self._changed:
            self._is_closing = True
            in_flight = list(self._in_flight)
        for operations in in_flight:
            operations.cancel_all()
        with self._changed:
            self._changed.wait_for(lambda: not self._users)
            device, self._device = self._device, None
        if device is not None:
            for operations in in_flight:
                operations.release()
            engine.library().lib.device_detach(device)
            self._registered.clear()

    def add(self, operations: Cancellable) -> None:
        """They are cancelled and released when the session is closed."""
        self._in_flight.add(operations)

    def alloc(self, size: int, alignment: int) -> memoryview:
        ffi, lib = engine.library().ffi, engine.library().lib
        memory = self._memory
        size = engine.in_bytes("size", size)
        if alignment < 1 or alignment & (alignment - 1) or alignment > engine.MAX_BYTES:
            raise DiskError(errno.EINVAL, f"alignment={alignment}: it must be a power of two")
        with self as device:
            address = lib.device_alloc(device, size, alignment)
        if not address:
            raise engine.failure(-errno.ENOMEM)
        # The last one who lets go of the buffer frees it; until then it holds on to the memory.
        kept = ffi.gc(ffi.cast("char *", address), lambda gone: lib.memory_free(memory, gone))
        return memoryview(ffi.buffer(kept, size)).cast("B")

    def register(self, memory: "Buffer", fd: int, file_offset: int) -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        file_offset = engine.in_bytes("file_offset", file_offset)
        pointer = pointer_to(memory, writable=True)
        with self as device:
            code = lib.device_register_memory(device, pointer, len(pointer), fd, file_offset)
        if code < 0:
            ffi.release(pointer)
        engine.check(code)
        self._registered.append(pointer)
