# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that are submitted now and collected later, on one queue of a disk.

    with disk.operations() as operations:
        operations.write(data, 4096, key="second block")
        operations.completed(1)
        print(operations.get_completed())

Any thread may call. What an operation reads into or writes from is kept until it is collected.
One that is cancelled or takes too long ends with ETIMEDOUT: at once, but where whole blocks move
between the disk and memory of alloc() or register(), once the back-end has given that memory back.
"""

import contextlib
import errno
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyfio_virtio.disk.gate import Gate
from pyfio_virtio.disk.session import CData, Session, milliseconds, pointer_to
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer


@dataclass(frozen=True)
class Completion:
    """An operation that ended: bytes moved (0 for what moves none), or why not."""

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
    pointer: CData | None  # holds on to the program's buffer
    key: object


class _Async(Gate):
    """A struct async *, and who is in a call on it."""

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
    """Made by Disk.operations(); `key` comes back with the completion."""

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
        """How many were submitted and not collected."""
        return len(self._submitted)

    def read(self, buffer: "Buffer", offset: int, key: object = None) -> None:
        lib = engine.library().lib
        self._submit(lib.OPERATION_READ, offset, key, pointer_to(buffer, writable=True))

    def write(self, data: "Buffer", offset: int, key: object = None) -> None:
        lib = engine.library().lib
        self._submit(lib.OPERATION_WRITE, offset, key, pointer_to(data, writable=False))

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
        operation.offset_bytes = engine.in_bytes("offset", offset)
        operation.size_bytes = engine.in_bytes("size", size)
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
        """Waits until that many, or all in flight, can be collected; how many can be.

        If none can be, and all in flight took too long, it raises ETIMEDOUT. They are collected
        should the back-end answer after all; a call with `timeout_s` that finds nothing else in
        flight waits for that.
        """
        timeout_ms = -1 if timeout_s is None else milliseconds(timeout_s)
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
        """One that took too long, each once; it remains in flight until its memory comes back."""
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
        """An eventfd: readable when operations completed since it was last read."""
        with self._session, self._async:
            return engine.check(engine.library().lib.async_fd(self._async.handle))

    def close(self) -> None:
        """Gives up what is in flight, and ends the calls that wait."""
        with contextlib.suppress(DiskError), self._session:  # closing the disk does it too
            self._async.shut()

    def __del__(self) -> None:
        if hasattr(self, "_async"):
            self.close()


def _address(operation: CData) -> int:
    return int(engine.library().ffi.cast("uintptr_t", operation))
