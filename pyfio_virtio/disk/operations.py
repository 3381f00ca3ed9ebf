# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that are submitted now and collected later, on one queue of a disk.

    with disk.operations() as operations:
        operations.write(data, 4096, key="second block")
        operations.completed(1)
        print(operations.get_completed())

Any thread may call. What an operation reads into or writes from is kept until it is collected.
"""

import errno
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

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


class Operations:
    """Made by Disk.operations(); `key` comes back with the completion."""

    def __init__(self, session: Session) -> None:
        ffi, lib = engine.library().ffi, engine.library().lib
        handle = ffi.new("struct async **")
        with session as device:
            engine.check(lib.async_open(handle, device))
        self._session = session
        self._async: CData | None = handle[0]
        self._submitted: dict[int, _Submitted] = {}  # by the address of the operation
        session.add(self)

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
        with self._session:
            self._submitted[address] = _Submitted(operation, pointer, key)
            code = lib.async_submit(self._handle(), operation)
            if code:
                del self._submitted[address]
            engine.check(code)

    def completed(self, minimum: int = 1, timeout_s: float | None = None) -> int:
        """Waits until that many, or all in flight, can be collected; how many can be."""
        timeout_ms = -1 if timeout_s is None else milliseconds(timeout_s)
        with self._session:
            return int(engine.library().lib.async_completed(self._handle(), minimum, timeout_ms))

    def get_completed(self) -> Completion | None:
        with self._session:
            operation = engine.library().lib.async_get_completed(self._handle())
            if not operation:
                return None
            error = engine.failure(operation.result) if operation.result < 0 else None
            done = self._submitted.pop(_address(operation))
            return Completion(done.key, max(0, operation.result), error)

    def cancel(self, key: object) -> None:
        """Gives up the operations with this key; they end with ETIMEDOUT."""
        with self._session:
            self._cancel([each for each in self._submitted.copy().values() if each.key == key])

    @property
    def fd(self) -> int:
        """An eventfd: readable when operations completed since it was last read."""
        with self._session:
            return engine.check(engine.library().lib.async_fd(self._handle()))

    def close(self) -> None:
        """Gives up what is in flight. No other thread may be in a call."""
        try:
            with self._session:
                self.release()
        except DiskError as error:
            if error.errno != errno.EBADF:  # closing the disk did it
                raise

    # ---- for the session ------------------------------------------------------------------------

    def cancel_all(self) -> None:
        self._cancel(list(self._submitted.copy().values()))

    def release(self) -> None:
        handle, self._async = self._async, None
        if handle is not None:
            engine.library().lib.async_close(handle)
            self._submitted.clear()

    def _cancel(self, submitted: list[_Submitted]) -> None:
        if self._async is not None:
            for each in submitted:
                engine.library().lib.async_cancel(self._async, each.operation)

    def _handle(self) -> CData:
        if self._async is None:
            raise DiskError(errno.EBADF, "these operations are closed")
        return self._async


def _address(operation: CData) -> int:
    return int(engine.library().ffi.cast("uintptr_t", operation))
