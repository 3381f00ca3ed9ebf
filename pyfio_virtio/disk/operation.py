# SPDX-License-Identifier: GPL-2.0-or-later
"""One operation on a disk, which is submitted now and collected later.

    write = Write([header, data], 4096, key="second block", fua=True)

Operations.submit() takes it, and completed() returns it. Then it has its result, and can be
submitted again, with another offset if needed; this is faster than a new operation.
"""

import errno
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from pyfio_virtio.disk.arguments import (
    CData,
    from_buffer,
    parts_of,
    pointers_to,
    whole,
    wrong_buffer,
)
from pyfio_virtio.disk.uncopied import Uncopied
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    Buffers: TypeAlias = Buffer | Sequence[Buffer]

IN_FLIGHT = "this operation is in flight: collect it first"


class Operation(Uncopied):
    """What all kinds of operations have in common.

    `buffer` is what was passed, or None. `key` is the program's own. `error` says why the operation
    failed, or is None. If `barrier` is true, it begins after everything that was submitted before
    it to the same Operations is done, and what is submitted after it begins after it is done.
    """

    __slots__ = ("buffer", "error", "free", "kept", "key", "struct")

    # The enum operation_type, without its prefix.
    kind: ClassVar[str]
    # It is deleted while the operation is in flight. Deleting it is one step. So if two threads
    # submit one operation at the same time, one of them finds that it is in flight.
    free: bool

    def __init__(self, key: object, barrier: bool, fua: bool = False) -> None:
        # Programs make very many of these, so this makes few calls, without keywords.
        self.struct: CData = _maker(self.kind)()
        if barrier or fua:
            self.struct.flags = _flags(barrier=barrier, fua=fua)
        self.buffer: Buffers | None = None
        # Pointers into the buffer while it is in flight; see from_buffer().
        self.kept: CData = None
        self.key: Any = key
        self.error: DiskError | None = None
        self.free = True

    def claim(self) -> None:
        """Takes it for a submission. If this succeeds, release() must follow."""
        try:
            del self.free
        except AttributeError:
            raise DiskError(errno.EBUSY, IN_FLIGHT) from None
        self.error = None

    def release(self) -> None:
        self.kept = None
        self.free = True

    @property
    def offset(self) -> int:
        return int(self.struct.offset_bytes)

    @offset.setter
    def offset(self, offset: int) -> None:
        if not hasattr(self, "free"):
            raise DiskError(errno.EBUSY, IN_FLIGHT)
        self.struct.offset_bytes = whole("offset", offset)

    @property
    def is_in_flight(self) -> bool:
        """Whether it was submitted and not yet collected."""
        return not hasattr(self, "free")

    @property
    def count(self) -> int:
        """The bytes that were transferred; 0 if it transfers none, or failed."""
        return 0 if self.error else max(0, self.struct.result)

    def check(self) -> int:
        """Returns `count`, or raises `error`."""
        if self.error is not None:
            raise self.error
        return self.count


class _Transfer(Operation):
    __slots__ = ()

    writable: ClassVar[bool]
    name: ClassVar[str]  # of the buffer, in errors

    def claim(self) -> None:
        Operation.claim(self)
        struct = self.struct
        try:
            self.kept = pointer = from_buffer()(self.buffer, self.writable)
        except (TypeError, BufferError, ValueError):
            self._claim_parts()
            return
        struct.buffer, struct.size_bytes = pointer, len(pointer)
        if struct.iov_count:  # it had several buffers before
            struct.iov_count = 0

    def _claim_parts(self) -> None:
        """For several buffers, or for something else, which is refused."""
        struct = self.struct
        try:
            if not isinstance(self.buffer, (list, tuple)):
                raise wrong_buffer(self.name, self.buffer, self.writable)
            pointers = pointers_to(self.buffer, self.writable)
        except BaseException:
            self.release()
            raise
        iov = parts_of(pointers)
        self.kept = (iov, pointers)
        struct.iov, struct.iov_count = iov, len(pointers)
        struct.buffer, struct.size_bytes = engine.library().ffi.NULL, 0
        if len(pointers) == 1:  # the engine copies small parts, but not a single one
            struct.buffer, struct.size_bytes, struct.iov_count = iov[0].iov_base, iov[0].iov_len, 0


class Read(_Transfer):
    """A read into a writable buffer, or into several in turn."""

    __slots__ = ()
    kind, name, writable = "READ", "buffer", True

    def __init__(
        self, buffer: "Buffers", offset: int, key: object = None, *, barrier: bool = False
    ) -> None:
        Operation.__init__(self, key, barrier)
        self.buffer = buffer
        self.struct.offset_bytes = whole("offset", offset)


class Write(_Transfer):
    """A write of a buffer, or of several in turn.

    With `fua`, it completes when its data is on stable storage.
    """

    __slots__ = ()
    kind, name, writable = "WRITE", "data", False

    def __init__(
        self,
        data: "Buffers",
        offset: int,
        key: object = None,
        *,
        fua: bool = False,
        barrier: bool = False,
    ) -> None:
        Operation.__init__(self, key, barrier, fua)
        self.buffer = data
        self.struct.offset_bytes = whole("offset", offset)


class Flush(Operation):
    """Puts everything that was written before on stable storage."""

    __slots__ = ()
    kind = "FLUSH"

    def __init__(self, key: object = None, *, barrier: bool = False) -> None:
        Operation.__init__(self, key, barrier)


class Discard(Operation):
    """Tells the disk that these bytes are not needed. Only whole blocks in the range change."""

    __slots__ = ()
    kind = "DISCARD"

    def __init__(
        self, offset: int, size: int, key: object = None, *, barrier: bool = False
    ) -> None:
        Operation.__init__(self, key, barrier)
        self.struct.offset_bytes = whole("offset", offset)
        self.struct.size_bytes = whole("size", size)


class WriteZeroes(Operation):
    """Writes zeroes. With `fua`, it completes when they are on stable storage."""

    __slots__ = ()
    kind = "WRITE_ZEROES"

    def __init__(
        self,
        offset: int,
        size: int,
        key: object = None,
        *,
        fua: bool = False,
        barrier: bool = False,
    ) -> None:
        Operation.__init__(self, key, barrier, fua)
        self.struct.offset_bytes = whole("offset", offset)
        self.struct.size_bytes = whole("size", size)


@cache
def _maker(kind: str) -> Callable[[], CData]:
    """Makes structures of this kind."""
    ffi, lib = engine.library().ffi, engine.library().lib
    initial = ffi.new("struct operation *")
    initial.struct_size = ffi.sizeof("struct operation")
    initial.type = getattr(lib, f"OPERATION_{kind}")
    return partial(ffi.new, ffi.typeof(initial), initial[0])


def _flags(*, barrier: bool, fua: bool) -> int:
    lib = engine.library().lib
    return (lib.OPERATION_BARRIER if barrier else 0) | (lib.OPERATION_FUA if fua else 0)
