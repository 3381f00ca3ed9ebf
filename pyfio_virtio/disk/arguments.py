# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what programs pass to a disk, before C sees it.

A wrong type raises TypeError, and a wrong value raises ArgumentError. Both say in one sentence what
was passed and what is accepted. All calls on disks use these functions, so they refuse the same.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import ArgumentError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# A pointer or a structure whose type only C knows.
CData: TypeAlias = Any
# The largest offset, size or file offset, in the engine as in Linux.
MAX_BYTES = (1 << 63) - 1
# The longest time that the engine accepts.
MAX_MS = (1 << 31) - 1


def whole(name: str, value: object, most: int = MAX_BYTES) -> int:
    """A number from 0 to `most`. By default, an offset or a size in bytes."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        sentence = f"{name}={value!r}: it must be a whole number from 0 to {most}"
        raise TypeError(sentence) from None
    if not 0 <= number <= most:
        raise ArgumentError(f"{name}={number}: it must be from 0 to {most}")
    return number


def one_of(name: str, value: str, values: tuple[str, ...]) -> int:
    """The index of the value in `values`."""
    if value not in values:
        raise ArgumentError(f"{name}={value}: use one of {', '.join(values)}")
    return values.index(value)


def milliseconds(name: str, seconds: float) -> int:
    """A time for the engine: 0 if `seconds` is negative, and 24 days at most."""
    try:
        is_number = not math.isnan(seconds)
    except (TypeError, OverflowError):
        raise TypeError(f"{name}={seconds!r}: it must be a number of seconds") from None
    if not is_number:
        raise ArgumentError(f"{name}={seconds}: it must be a number of seconds")
    return round(min(max(0.0, seconds * 1000), MAX_MS))


def timeout_ms(name: str, seconds: float) -> int:
    """A time-out for the engine: 0, its default, if `seconds` is 0; else at least 1 ms."""
    most_ms = milliseconds(name, seconds)
    if seconds < 0:
        raise ArgumentError(f"{name}={seconds}: it must not be negative; 0: the default")
    return max(1, most_ms) if seconds else 0


@cache
def from_buffer() -> Callable[[object, bool], CData]:
    """A function that makes a char[] of a buffer, which must perhaps be writable.

    The char[] keeps the buffer alive. It must be released before the garbage collector can find it,
    for example in the traceback of an error: the collector may clear a memoryview before a pointer
    into it, and Python crashes then.
    """
    ffi = engine.library().ffi
    return partial(ffi.from_buffer, ffi.typeof("char[]"))


def pointer_to(name: str, buffer: object, writable: bool) -> CData:
    """from_buffer(), with an error that says what is wrong. It is a context manager."""
    try:
        return from_buffer()(buffer, writable)
    except (TypeError, BufferError, ValueError):
        error = wrong_buffer(name, buffer, writable)
    raise error


def wrong_buffer(name: str, buffer: object, writable: bool) -> TypeError:
    wanted = "a contiguous buffer, such as bytes"
    if writable:
        wanted = "a writable and contiguous buffer, such as bytearray"
    return TypeError(f"{name} is {_described(buffer)}: it must be {wanted}")


def _described(value: object) -> str:
    kind = type(value).__name__
    try:
        view = memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        return f"of the type {kind}"
    except ValueError:
        return f"a {kind} that was released or closed"
    return f"a {kind} that is " + ("read-only" if view.c_contiguous else "not contiguous")


def listed(buffers: Iterable["Buffer"]) -> "list[Buffer]":
    try:
        return list(buffers)
    except TypeError:
        kind = type(buffers).__name__
        raise TypeError(f"buffers is of the type {kind}: it must be a list of buffers") from None


def pointers_to(buffers: Iterable["Buffer"], writable: bool) -> list[CData]:
    return [pointer_to("buffer", each, writable) for each in listed(buffers)]


def parts_of(pointers: Sequence[CData]) -> CData:
    """A struct iovec[] of several buffers."""
    parts = [(pointer, len(pointer)) for pointer in pointers]
    return engine.library().ffi.new("struct iovec[]", parts)
