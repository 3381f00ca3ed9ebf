# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong arguments of disks: disk/arguments.py."""

import asyncio
import mmap
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

import pyfio_virtio
from pyfio_virtio import ArgumentError, Discard, Disk, Read, Write, WriteZeroes
from pyfio_virtio.aio import AsyncDisk
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.disk.operation import Operation
from pyfio_virtio.disk.operations import Operations
from tests.pyfio_virtio.disks import open_async_disk, open_disk

Serve = Callable[..., Backend]


@pytest.fixture
def backend(serve: Serve) -> Backend:
    return serve("builtin", size_bytes=1 << 20)


# ---- the same for blocking calls, operations and asyncio -----------------------------------------


def closed_memory() -> mmap.mmap:
    memory = mmap.mmap(-1, 4096)
    memory.close()
    return memory


def released() -> memoryview:
    view = memoryview(bytearray(4))
    view.release()
    return view


EVERY_SECOND = memoryview(bytearray(8))[::2]
COLUMNS: Any = np.zeros((4, 4), order="F")
MOST = (1 << 63) - 1
WHOLE = "it must be a whole number from 0 to"
GAPS = "that is not contiguous"
GONE = "that was released or closed"
WRITABLE = "it must be a writable and contiguous buffer, such as bytearray"
READABLE = "it must be a contiguous buffer, such as bytes"
# What is called, and the arguments; then the error and its whole sentence.
WRONG: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    *(
        (name, (*given, number), ArgumentError, f"offset={number}: it must be from 0 to {MOST}")
        for number in (-1, MOST + 1, 1 << 64, -(1 << 70))
        for name, given in (("read", (bytearray(1),)), ("write", (b"x",)))
    ),
    *(
        (name, arguments, ArgumentError, f"{wrong}: it must be from 0 to {MOST}")
        for name in ("discard", "write_zeroes")
        for arguments, wrong in (((-1, 1), "offset=-1"), ((0, 1 << 63), f"size={1 << 63}"))
    ),
    ("read", (bytearray(1), 1.5), TypeError, f"offset=1.5: {WHOLE} {MOST}"),
    ("write", (b"x", "0"), TypeError, f"offset='0': {WHOLE} {MOST}"),
    ("write", (b"x", None), TypeError, f"offset=None: {WHOLE} {MOST}"),
    ("discard", (0, 4096.0), TypeError, f"size=4096.0: {WHOLE} {MOST}"),
    ("write_zeroes", ("0", 1), TypeError, f"offset='0': {WHOLE} {MOST}"),
    ("read", (b"1234", 0), TypeError, f"buffer is a bytes that is read-only: {WRITABLE}"),
    ("read", (4, 0), TypeError, f"buffer is of the type int: {WRITABLE}"),
    (
        "read",
        (EVERY_SECOND, 0),
        TypeError,
        f"buffer is a memoryview {GAPS}: {WRITABLE}",
    ),
    ("read", (COLUMNS, 0), TypeError, f"buffer is a ndarray {GAPS}: {WRITABLE}"),
    ("write", ("text", 0), TypeError, f"data is of the type str: {READABLE}"),
    ("write", (None, 0), TypeError, f"data is of the type NoneType: {READABLE}"),
    (
        "write",
        (EVERY_SECOND, 0),
        TypeError,
        f"data is a memoryview {GAPS}: {READABLE}",
    ),
    (
        "write",
        (released(), 0),
        TypeError,
        f"data is a memoryview {GONE}: {READABLE}",
    ),
    (
        "write",
        (closed_memory(), 0),
        TypeError,
        f"data is a mmap {GONE}: {READABLE}",
    ),
]


def blocking(disk: Disk) -> dict[str, Callable[..., object]]:
    return {
        "read": lambda buffer, offset: disk.preadv([buffer], offset),
        "write": disk.pwrite,
        "discard": disk.discard,
        "write_zeroes": disk.write_zeroes,
    }


def submitted(operations: Operations) -> dict[str, Callable[..., object]]:
    def submits(make: Callable[..., Operation]) -> Callable[..., object]:
        return lambda *arguments: operations.submit([make(*arguments)])

    kinds: dict[str, Callable[..., Operation]] = {
        "read": Read,
        "write": Write,
        "discard": Discard,
        "write_zeroes": WriteZeroes,
    }
    return {name: submits(kind) for name, kind in kinds.items()}


def awaited(disk: AsyncDisk) -> dict[str, Callable[..., Coroutine[Any, Any, object]]]:
    return {
        "read": lambda buffer, offset: disk.preadv([buffer], offset),
        "write": disk.pwrite,
        "discard": disk.discard,
        "write_zeroes": disk.write_zeroes,
    }


def test_wrong_arguments_are_refused_in_the_same_words(disk: Disk) -> None:
    async def all_refuse() -> None:
        tasks = awaited(AsyncDisk(disk))
        with disk.operations() as operations:
            for name, arguments, error, sentence in WRONG:
                for calls in (blocking(disk), submitted(operations)):
                    with pytest.raises(error) as refused:
                        calls[name](*arguments)
                    assert str(refused.value) == sentence
                with pytest.raises(error) as refused:
                    await tasks[name](*arguments)
                assert str(refused.value) == sentence
            assert len(operations) == 0

    asyncio.run(all_refuse())


def test_a_write_that_is_awaited_refuses_a_list_as_a_blocking_one_does(disk: Disk) -> None:
    data: list[bytes] = [b"x"]
    sentence = f"data is of the type list: {READABLE}"

    async def refuse() -> None:
        with pytest.raises(TypeError, match=sentence):
            await AsyncDisk(disk).pwrite(data, 0)  # type: ignore[arg-type]

    asyncio.run(refuse())
    with pytest.raises(TypeError, match=sentence):
        disk.pwrite(data, 0)  # type: ignore[arg-type]


# ---- arguments of other calls --------------------------------------------------------------------


def test_other_wrong_arguments_are_refused(disk: Disk) -> None:
    operations = disk.operations()
    wrong: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: disk.pread(-1, 0), ArgumentError, "size=-1: it must be from 0"),
        (lambda: disk.pread("1", 0), TypeError, "size='1': it must be a whole number"),  # type: ignore[arg-type]
        (lambda: disk.pwritev("text", 0), TypeError, "buffer is of the type str"),  # type: ignore[arg-type]
        (lambda: disk.pwritev(5, 0), TypeError, "buffers is of the type int: it must be a list"),  # type: ignore[arg-type]
        (lambda: disk.pwritev([], -1), ArgumentError, "offset=-1"),
        (lambda: disk.alloc(-1), ArgumentError, "size=-1"),
        (lambda: disk.alloc(4096, -1), ArgumentError, "alignment=-1"),
        (lambda: disk.alloc(4096, 96), ArgumentError, "alignment=96: it must be a power of two"),
        (lambda: disk.register(bytearray(4096), -1), ArgumentError, "fd=-1: it must be from 0"),
        (lambda: disk.register(bytearray(1), 0, -1), ArgumentError, "file_offset=-1"),
        (lambda: disk.register(b"1", 0), TypeError, "memory is a bytes that is read-only"),
        (lambda: operations.completed(-1), ArgumentError, "minimum=-1"),
        (lambda: operations.completed(1, float("nan")), ArgumentError, "timeout_s=nan: it must be"),
        (lambda: operations.completed(1, "1"), TypeError, "timeout_s='1': it must be a number"),  # type: ignore[arg-type]
        (lambda: operations.submit(5), TypeError, "operations is of the type int: it must be"),  # type: ignore[arg-type]
        (lambda: operations.submit(["x"]), TypeError, "an operation is of the type str: use Read"),  # type: ignore[list-item]
        (lambda: operations.cancel("x"), TypeError, "an operation is of the type str: use Read"),  # type: ignore[arg-type]
        (
            lambda: operations.submit([Write([b"x", "y"], 0)]),  # type: ignore[list-item]
            TypeError,
            "buffer is of the type str: it must be a contiguous buffer",
        ),
    ]
    for call, error, sentence in wrong:
        with pytest.raises(error, match=sentence):
            call()
    operations.close()


WRONG_OPTIONS: list[tuple[str, Any, type[Exception], str]] = [
    *(
        (name, value, ArgumentError, f"{name}={value}: it must be from 0 to ")
        for name, value in (
            ("queues", -1),
            ("queues", 1 << 40),
            ("depth", -1),
            ("depth", 1 << 32),
            ("memory_bytes", -1),
            ("memory_bytes", 1 << 64),
            ("sleepy_poll_us", -1),
        )
    ),
    ("queues", "1", TypeError, "queues='1': it must be a whole number from 0 to 256"),
    ("scsi_address", (256, 0), ArgumentError, "the target=256: it must be from 0 to 255"),
    ("scsi_address", (0, 16384), ArgumentError, "the LUN=16384: it must be from 0 to 16383"),
    ("scsi_address", 3, TypeError, "scsi_address=3: it must be a target and a LUN"),
    ("wait", "often", ArgumentError, "use one of default, event, busy, sleepy, adaptive"),
    ("wait", None, ArgumentError, "wait=None: use one of default"),
    ("device", "tape", ArgumentError, "device=tape: use one of auto, blk, scsi"),
    ("hugepages", "4k", ArgumentError, "hugepages=4k: use one of auto, off, 2m, 1g"),
    *(
        (name, value, error, f"{name}=.*: it must")
        for name in ("connect_timeout_s", "request_timeout_s")
        for value, error in (
            (-1.0, ArgumentError),
            (float("-inf"), ArgumentError),
            (float("nan"), ArgumentError),
            ("5", TypeError),
        )
    ),
]


def test_wrong_options_are_refused(backend: Backend) -> None:
    async def open_it(option: dict[str, Any]) -> None:
        async with open_async_disk(backend, **option):
            pass

    for name, value, error, sentence in WRONG_OPTIONS:
        with pytest.raises(error, match=sentence):
            open_disk(backend, **{name: value})
        with pytest.raises(error, match=sentence):
            asyncio.run(open_it({name: value}))


@pytest.mark.parametrize(
    ("socket", "error"),
    [(5, TypeError), ("", ArgumentError), ("a\0b", ArgumentError), (b"nobody", FileNotFoundError)],
)
def test_a_path_that_is_none_is_refused(socket: Any, error: type[Exception]) -> None:  # noqa: ANN401
    with pytest.raises(error, match="socket"):
        pyfio_virtio.open(socket)


def test_numbers_of_numpy_are_numbers(disk: Disk) -> None:
    data: Any = np.arange(4, dtype=np.uint8)
    here: Any = np.uint64(4096)
    assert disk.pwrite(data, here) == len(data)
    assert disk.pread(len(data), here) == bytes(data)
