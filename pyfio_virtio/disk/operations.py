# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that are submitted now and collected later, on one queue of a disk.

    with disk.operations() as operations:
        operations.submit([Write(data, 4096), Read(buffer, 0, key="first block")])
        for done in operations.completed(2):
            print(done.key, done.check())

Any thread may call. Many operations in one call are faster than one at a time. An operation that is
in flight and its buffer are kept until it is collected. An operation that is cancelled or takes too
long ends with ETIMEDOUT. It ends at once, except if whole blocks are transferred directly to or
from memory of alloc() or register(): then it ends when the back-end has finished with that memory.
"""

import contextlib
import errno
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from pyfio_virtio.disk.arguments import CData, milliseconds, whole
from pyfio_virtio.disk.gate import Gate
from pyfio_virtio.disk.operation import Operation
from pyfio_virtio.disk.session import Session
from pyfio_virtio.disk.uncopied import Uncopied
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import DiskError

MAX_MINIMUM = (1 << 32) - 1
# The operations of one call of the engine.
ROOM = 256
CLOSED = "the operations were closed while this was in flight"


class _InFlight(dict[int, Operation]):
    """Operations by the addresses of their structures."""

    def clear(self) -> None:
        """They were given up, because what they belong to is closed."""
        for operation in self.values():
            operation.error = DiskError(errno.ECANCELED, CLOSED)
            operation.release()
        super().clear()


class _Async(Gate):
    """A struct async *, with the threads that are in a call on it."""

    refusal = "these operations are closed"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.in_flight = _InFlight()
        self.handle = session.open_async(self.in_flight)
        super().__init__()

    def interrupt(self) -> None:
        engine.library().lib.async_shutdown(self.handle)

    def free(self) -> None:
        self._session.close_async(self.handle)


class _Pointers:
    """An array of struct operation *, and the same as numbers."""

    def __init__(self, handle: CData) -> None:
        ffi = engine.library().ffi
        self.array: CData = ffi.new("struct operation *[]", ROOM)
        self.numbers = memoryview(ffi.buffer(self.array)).cast("Q")
        # The arguments of async_collect(), as map() takes them.
        self.for_collect = (handle,), (self.array,), (ROOM,)


class Operations(Uncopied):
    """Disk.operations() makes it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._async = _Async(session)
        self._in_flight = self._async.in_flight
        self._spare: list[_Pointers] = []  # each is used by one thread at a time
        # Held from a call of the engine that returns operations until they were looked up. So no
        # other thread collects them meanwhile. A signal handler may enter while it is held.
        self._lookup = threading.RLock()

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
        return len(self._in_flight)

    # ---- submitting ----------------------------------------------------------------------------

    def submit(self, operations: Iterable[Operation]) -> None:
        """Begins operations in turn.

        If the disk refuses one, its error is raised, and those behind it do not begin. Those before
        it are in flight.
        """
        try:
            batch = list(operations)
        except TypeError:
            raise TypeError(f"operations is {_type_of(operations)}: it must be a list") from None
        _claim(batch)
        begun = self.begin(batch)
        if begun < len(batch):
            _release(batch[begun + 1 :])
            batch[begun].check()

    def begin(self, batch: Sequence[Operation]) -> int:
        """Begins claimed operations in turn, until one is refused, which has an error then.

        Returns how many began. The refused one is released. Those behind it remain claimed. If the
        operations are closed, all that did not begin are released.
        """
        begun = 0
        try:
            with self._session, self._async:
                while begun < len(batch):
                    some = batch[begun : begun + ROOM]
                    started = self._begin(some)
                    begun += started
                    if started < len(some):
                        break
        except DiskError:  # closed
            _release(batch[begun:])
            raise
        _release(batch[begun : begun + 1])
        return begun

    def _begin(self, batch: Sequence[Operation]) -> int:
        lib, count = engine.library().lib, len(batch)
        pointers = self._take_pointers()
        pointers.array[0:count] = [operation.struct for operation in batch]
        addresses = pointers.numbers[:count].tolist()
        # From here on, they are kept until they are collected, whatever interrupts this thread.
        self._in_flight.update(zip(addresses, batch, strict=True))
        begun = code = 0
        # After a call that began some of them, the next call returns why it began no more.
        while begun < count and code >= 0:
            code = lib.async_submit_many(self._async.handle, pointers.array + begun, count - begun)
            begun += max(0, code)
        if begun < count:
            batch[begun].error = engine.failure(code)
            for address in addresses[begun:]:
                del self._in_flight[address]
        self._spare.append(pointers)
        return begun

    def _take_pointers(self) -> _Pointers:
        try:
            return self._spare.pop()
        except IndexError:
            return _Pointers(self._async.handle)

    # ---- collecting ----------------------------------------------------------------------------

    def completed(self, minimum: int = 1, timeout_s: float | None = None) -> list[Operation]:
        """Waits until `minimum` or all operations in flight have completed. Returns all that have.

        If none has completed and all in flight took too long, it raises ETIMEDOUT. They can still
        be collected if the back-end answers later, and a call with `timeout_s` that finds nothing
        else in flight waits for that.
        """
        minimum = whole("minimum", minimum, MAX_MINIMUM)
        timeout_ms = -1 if timeout_s is None else milliseconds("timeout_s", timeout_s)
        lib = engine.library().lib
        with self._session, self._async:
            engine.check(lib.async_completed(self._async.handle, minimum, timeout_ms))
            return self._collect()

    def _collect(self) -> list[Operation]:
        found = list[Operation]()
        pointers = self._take_pointers()
        while some := self._collect_some(pointers):
            # Only the last one can have failed.
            result = some[-1].struct.result
            if result < 0:
                some[-1].error = engine.failure(result)
            for operation in some:
                operation.release()
            found += some
            if result >= 0 and len(some) < ROOM:
                break  # the engine had no more
        self._spare.append(pointers)
        return found

    def _collect_some(self, pointers: _Pointers) -> list[Operation]:
        count, some = 0, list[Operation]()
        with self._lookup:
            try:
                # In one step, so that the count is known even if ^C comes during the call.
                (count,) = map(engine.library().lib.async_collect, *pointers.for_collect)
                some += map(self._in_flight.pop, pointers.numbers[:count])
            except BaseException:  # ^C
                if not some:
                    some += map(self._in_flight.pop, pointers.numbers[:count])
                _release(some)
                raise
        return some

    def overdue(self) -> list[Operation]:
        """The operations that took too long; each is returned once, and has an error.

        They remain in flight until the back-end has finished with their memory.
        """
        with self._session, self._async:
            return self._overdue()

    def _overdue(self) -> list[Operation]:
        ffi, lib = engine.library().ffi, engine.library().lib
        found = []
        with self._lookup:
            while struct := lib.async_get_overdue(self._async.handle):
                operation = self._in_flight[int(ffi.cast("uintptr_t", struct))]
                operation.error = engine.failure(-errno.ETIMEDOUT)
                found.append(operation)
        return found

    def look(self) -> list[Operation]:
        """Looks at the disk once. Returns the operations that have completed or became overdue."""
        with self._session, self._async:
            # If it fails, all in flight are overdue.
            engine.library().lib.async_completed(self._async.handle, 0, 0)
            return self._collect() + self._overdue()

    def arm(self) -> None:
        """Lets `fd` become readable when the next operation completes or is overdue, once.

        Without this call, it does so for all operations.
        """
        with self._session, self._async:
            engine.library().lib.async_arm(self._async.handle)

    def cancel(self, operation: Operation) -> None:
        """Gives the operation up, if it is in flight. It ends with ETIMEDOUT."""
        if not isinstance(operation, Operation):
            raise _wrong_kind(operation)
        with self._session, self._async:
            engine.library().lib.async_cancel(self._async.handle, operation.struct)

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


def _claim(batch: Sequence[Operation]) -> None:
    """Takes the operations for the calling thread, or none of them."""
    claimed = 0
    try:
        for operation in batch:
            operation.claim()
            claimed += 1
    except BaseException:
        _release(batch[:claimed])
        refused = batch[claimed]
        if isinstance(refused, Operation):
            raise
        raise _wrong_kind(refused) from None


def _release(batch: Sequence[Operation]) -> None:
    for operation in batch:
        operation.release()


def _wrong_kind(value: object) -> TypeError:
    return TypeError(f"an operation is {_type_of(value)}: use Read, Write or another of these")


def _type_of(value: object) -> str:
    return f"of the type {type(value).__name__}"
