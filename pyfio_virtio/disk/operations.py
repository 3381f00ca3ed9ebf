# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that are submitted now and collected later, on one queue of a disk.

    with disk.operations() as operations:
        operations.write(data, 4096, key="second block")
        operations.completed(1)
        print(operations.get_completed())

Any thread may call. The buffer of an operation is kept until the operation is collected. An
operation that is cancelled or takes too long ends with ETIMEDOUT. It ends at once, except if whole
blocks are transferred directly to or from memory of alloc() or register(): then it ends when the
back-end has finished with that memory.
"""

import contextlib
import errno
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyfio_virtio.disk.arguments import CData, milliseconds, pointer_to, whole
from pyfio_virtio.disk.gate import Gate
from pyfio_virtio.disk.session import Session
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_MINIMUM = (1 << 32) - 1


@dataclass(frozen=True)
class Completion:
    """An operation that ended: the bytes transferred (0 if it transfers none), or its error."""

    key: object
    count: int
    error: DiskError | None

    def check(self) -> int:
        if self.error is not None:
            raise self.error
        return self.count


@dataclass(frozen=True)
class _Submitted:
    operation: CData  # struct operation *
    pointer: CData | None  # keeps the program's buffer alive
    key: object


class _Async(Gate):
    """A struct async *, with the threads that are in a call on it."""

    refusal = "these operations are closed"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.submitted: dict[int, _Submitted] = {}  # by the address of the operation
        self.handle = session.open_async(self.submitted)
        super().__init__()

    def interrupt(self) -> None:
        engine.library().lib.async_shutdown(self.handle)

    def free(self) -> None:
        self._session.close_async(self.handle)


class Operations:
    """Disk.operations() makes it. The `key` of an operation comes back with its completion."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._async = _Async(session)
        self._submitted = self._async.submitted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of operations that were submitted and not yet collected."""
        return len(self._submitted)

    def read(self, buffer: "Buffer", offset: int, key: object = None) -> None:
        lib = engine.library().lib
        self._submit(lib.OPERATION_READ, offset, key, pointer_to("buffer", buffer, writable=True))

    def write(self, data: "Buffer", offset: int, key: object = None) -> None:
        lib = engine.library().lib
        self._submit(lib.OPERATION_WRITE, offset, key, pointer_to("data", data, writable=False))

    def flush(self, key: object = None) -> None:
        self._submit(engine.library().lib.OPERATION_FLUSH, 0, key)

    def discard(self, offset: int, size: int, key: object = None) -> None:
        self._submit(engine.library().lib.OPERATION_DISCARD, offset, key, size=size)

    def write_zeroes(self, offset: int, size: int, key: object = None) -> None:
        self._submit(engine.library().lib.OPERATION_WRITE_ZEROES, offset, key, size=size)

    def _submit(
        self, kind: int, offset: int, key: object, pointer: CData | None = None, size: int = 0
    ) -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        operation = ffi.new("struct operation *")
        operation.type = kind
        operation.offset_bytes = whole("offset", offset)
        operation.size_bytes = whole("size", size)
        if pointer is not None:
            operation.buffer, operation.size_bytes = pointer, len(pointer)
        address = _address(operation)
        with self._session, self._async:
            self._submitted[address] = _Submitted(operation, pointer, key)
            code = lib.async_submit(self._async.handle, operation)
            if code:
                del self._submitted[address]
            engine.check(code)

    def completed(self, minimum: int = 1, timeout_s: float | None = None) -> int:
        """Waits until `minimum` or all operations in flight can be collected; returns how many can.

        If none can be collected and all in flight took too long, it raises ETIMEDOUT. They can
        still be collected if the back-end answers later, and a call with `timeout_s` that finds
        nothing else in flight waits for that.
        """
        minimum = whole("minimum", minimum, MAX_MINIMUM)
        timeout_ms = -1 if timeout_s is None else milliseconds("timeout_s", timeout_s)
        with self._session, self._async:
            lib = engine.library().lib
            return engine.check(lib.async_completed(self._async.handle, minimum, timeout_ms))

    def get_completed(self) -> Completion | None:
        with self._session, self._async:
            operation = engine.library().lib.async_get_completed(self._async.handle)
            if not operation:
                return None
            error = engine.failure(operation.result) if operation.result < 0 else None
            done = self._submitted.pop(_address(operation))
            return Completion(done.key, max(0, operation.result), error)

    def get_overdue(self) -> Completion | None:
        """An operation that took too long; each is returned once.

        It remains in flight until the back-end has finished with its memory.
        """
        with self._session, self._async:
            operation = engine.library().lib.async_get_overdue(self._async.handle)
            if not operation:
                return None
            error = engine.failure(-errno.ETIMEDOUT)
            return Completion(self._submitted[_address(operation)].key, 0, error)

    def cancel(self, key: object) -> None:
        """Gives up the operations with this key; they end with ETIMEDOUT."""
        lib = engine.library().lib
        with self._session, self._async:
            for each in self._submitted.copy().values():
                if each.key == key:
                    lib.async_cancel(self._async.handle, each.operation)

    @property
    def fd(self) -> int:
        """An eventfd that is readable if operations have completed since it was last read."""
        with self._session, self._async:
            return engine.check(engine.library().lib.async_fd(self._async.handle))

    def close(self) -> None:
        """Gives up the operations in flight, and ends the calls that wait."""
        # If the disk is closed, its operations are closed too.
        with contextlib.suppress(DiskError), self._session:
            self._async.shut()

    def __del__(self) -> None:
        if hasattr(self, "_async"):
            self.close()


def _address(operation: CData) -> int:
    return int(engine.library().ffi.cast("uintptr_t", operation))
