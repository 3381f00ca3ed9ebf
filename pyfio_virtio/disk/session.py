# SPDX-License-Identifier: GPL-2.0-or-later
"""An attached device and its memory, kept alive as long as somebody uses them.

Any thread may enter a session; closing ends what waits there. The memory outlives it: a
buffer that a program still holds stays valid, whatever was closed. Nothing that Python code does
to these objects may crash the process.
"""

import errno
import math
from typing import TYPE_CHECKING, Any, TypeAlias

from pyfio_virtio.disk.gate import Gate, fork_count
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# A pointer or a structure whose type only C knows.
CData: TypeAlias = Any
# What the engine takes as a time.
MAX_MS = (1 << 31) - 1


def pointer_to(buffer: "Buffer", *, writable: bool) -> CData:
    """A char[] that holds on to the buffer; a context manager that lets go of it."""
    return engine.library().ffi.from_buffer("char[]", buffer, require_writable=writable)


def milliseconds(seconds: float) -> int:
    """A time as C takes it: 0 if it has passed, and 24 days at most."""
    if math.isnan(seconds):
        raise DiskError(errno.EINVAL, "a time must be a number")
    return round(min(max(0.0, seconds * 1000), MAX_MS))


def _free(memory: CData, address: CData, made_at: int) -> None:
    if made_at != fork_count():
        return
    lib = engine.library().lib
    lib.memory_free(memory, address)
    lib.memory_destroy(memory)


class Session(Gate):
    """`with session:` is for the calls that need its `device`, a struct device *."""

    refusal = "the disk is closed"

    def __init__(self, config: CData, options: CData) -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        made = lib.memory_create(config.hugepages)
        if not made:
            raise engine.failure(-errno.ENOMEM)
        config.memory = self._memory = made
        handle = ffi.new("struct device **")
        code = lib.device_attach(handle, config, options)
        if code:
            lib.memory_destroy(made)
        engine.check(code)
        self.device: CData = handle[0]
        self._registered: list[CData] = []
        # Each struct async * that is open, and what the engine may still look at for it.
        self._asyncs: dict[CData, dict[int, Any]] = {}
        super().__init__()

    def __del__(self) -> None:
        if hasattr(self, "_changed"):
            self.close()

    def close(self) -> None:
        """Gives up what is in flight, and ends the calls that wait. Any number of times."""
        self.shut()

    def interrupt(self) -> None:
        engine.library().lib.device_shutdown(self.device)

    def free(self) -> None:
        for handle in list(self._asyncs):
            self.close_async(handle)
        engine.library().lib.device_detach(self.device)
        engine.library().lib.memory_destroy(self._memory)
        self._registered.clear()

    def open_async(self, needs: dict[int, Any]) -> CData:
        """A struct async *; what `needs` holds is kept as long as it is open, and cleared then.

        So nothing of it is left to the garbage collector, which may clear a memoryview before
        what has a pointer into it.
        """
        handle = engine.library().ffi.new("struct async **")
        with self:
            engine.check(engine.library().lib.async_open(handle, self.device))
            self._asyncs[handle[0]] = needs
        return handle[0]

    def close_async(self, handle: CData) -> None:
        """No thread may be in a call on it."""
        if handle in self._asyncs:
            engine.library().lib.async_close(handle)
            self._asyncs.pop(handle).clear()

    def alloc(self, size: int, alignment: int) -> memoryview:
        ffi, lib = engine.library().ffi, engine.library().lib
        memory = self._memory
        size = engine.in_bytes("size", size)
        if alignment < 1 or alignment & (alignment - 1) or alignment > engine.MAX_BYTES:
            raise DiskError(errno.EINVAL, f"alignment={alignment}: it must be a power of two")
        with self:
            address = lib.device_alloc(self.device, size, alignment)
            if not address:
                raise engine.failure(-errno.ENOMEM)
            lib.memory_keep(memory)
        # The last one who lets go of the buffer frees it. It keeps the memory itself: of several
        # objects that are garbage, the collector finalizes any first.
        made_at = fork_count()
        kept = ffi.gc(ffi.cast("char *", address), lambda gone: _free(memory, gone, made_at))
        return memoryview(ffi.buffer(kept, size)).cast("B")

    def register(self, memory: "Buffer", fd: int, file_offset: int) -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        file_offset = engine.in_bytes("file_offset", file_offset)
        pointer = pointer_to(memory, writable=True)
        with self:
            size = len(pointer)
            code = lib.device_register_memory(self.device, pointer, size, fd, file_offset)
            if code < 0:
                ffi.release(pointer)
            engine.check(code)
            self._registered.append(pointer)
