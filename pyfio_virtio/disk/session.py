# SPDX-License-Identifier: GPL-2.0-or-later
"""An attached device and its memory, which are kept alive as long as they are in use.

Any thread may enter a session. Closing it ends the calls that wait. The memory may live longer: a
buffer that a program still holds stays valid after the session is closed. No use of these objects
by Python code may crash the process.
"""

import errno
from typing import TYPE_CHECKING, Any

from pyfio_virtio.disk.arguments import CData, pointer_to, whole
from pyfio_virtio.disk.gate import Gate, fork_count
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import ArgumentError, DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_FD = (1 << 31) - 1


def _free(memory: CData, address: CData, made_at: int) -> None:
    if made_at != fork_count():
        return
    lib = engine.library().lib
    lib.memory_free(memory, address)
    lib.memory_destroy(memory)


class Session(Gate):
    """`with session:` must surround the calls that use its `device`, a struct device *."""

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
        # Each open struct async *, with the objects that the engine may still use for it.
        self._asyncs: dict[CData, dict[int, Any]] = {}
        super().__init__()

    def __del__(self) -> None:
        if hasattr(self, "_changed"):
            self.close()

    def close(self) -> None:
        """Gives up the operations in flight, and ends the calls that wait. May be called again."""
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
        """Opens a struct async *. The objects in `needs` are kept until it is closed.

        They are not left to the garbage collector, because that may clear a memoryview before an
        object with a pointer into it.
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
        size, alignment = whole("size", size), whole("alignment", alignment)
        if alignment & (alignment - 1):
            raise ArgumentError(f"alignment={alignment}: it must be a power of two")
        with self:
            address = lib.device_alloc(self.device, size, alignment)
            if not address:
                raise engine.failure(-errno.ENOMEM)
            lib.memory_keep(memory)
        # The buffer is freed with its last reference. It holds its own reference to the memory,
        # because the garbage collector may finalize the session before the buffer.
        made_at = fork_count()
        kept = ffi.gc(ffi.cast("char *", address), lambda gone: _free(memory, gone, made_at))
        return memoryview(ffi.buffer(kept, size)).cast("B")

    def register(self, memory: "Buffer", fd: int, file_offset: int) -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        fd, file_offset = whole("fd", fd, MAX_FD), whole("file_offset", file_offset)
        pointer = pointer_to("memory", memory, True)
        size = len(pointer)
        try:
            with self:
                engine.check(
                    lib.device_register_memory(self.device, pointer, size, fd, file_offset)
                )
                self._registered.append(pointer)
        except DiskError:  # refused, or closed
            ffi.release(pointer)
            raise

    def unregister(self, memory: "Buffer") -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        with pointer_to("memory", memory, writable=True) as pointer, self:
            engine.check(lib.device_unregister_memory(self.device, pointer))
            # From here on the program can close it.
            for each in [each for each in self._registered if each == pointer]:
                self._registered.remove(each)
                ffi.release(each)
