# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages about the back-end's record of its requests in flight: engine/vhost/user.c.

`connect` also shows that each descriptor that came with an answer is closed in the end.
"""

import errno
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.engine.scripted_backend import VERSION, Connection, Message, wait_for_hang_up
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.engine.vhost_requests import REPLY_ACK, Connect
from tests.vhost_numbers import Request

AREA = struct.Struct("=QQHHI")  # size, offset, queues, entries, padding
FILE_BYTES = 3 * 4096
Opener = Callable[[], int]
Fd = Callable[[Opener], int]


def memfd() -> int:
    fd = os.memfd_create("area")
    os.truncate(fd, FILE_BYTES)
    return fd


def read_only() -> int:
    fd = memfd()
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    finally:
        os.close(fd)


def pipe() -> int:
    fds = os.pipe()
    os.close(fds[0])
    return fds[1]


@pytest.fixture
def given() -> Iterator[Fd]:
    """given(opener): a descriptor that is closed at the end of the test."""
    with ExitStack() as stack:

        def open_one(opener: Opener) -> int:
            fd = opener()
            stack.callback(os.close, fd)
            return fd

        yield open_one


def ask(vu: CData) -> tuple[int, tuple[int, int]]:
    """The code, and where the area lies; the descriptor is closed."""
    area = ffi.new("struct vhost_user_inflight *", {"num_queues": 3, "queue_size": 256})
    fd = ffi.new("int *")
    code = int(lib.vhost_user_get_inflight_fd(vu, area, fd))
    if code == 0:
        assert os.fstat(fd[0]).st_size == FILE_BYTES
        os.close(fd[0])
    return code, (area.mmap_size, area.mmap_offset)


def answering(payload: bytes, fds: list[int]) -> Callable[[Connection], None]:
    def script(connection: Connection) -> None:
        message = connection.receive()
        assert message == Message(Request.GET_INFLIGHT_FD, VERSION, AREA.pack(0, 0, 3, 256, 0)), (
            "the payload must be there, with its padding"
        )
        connection.answer(message, payload, fds)
        wait_for_hang_up(connection)

    return script


@pytest.mark.parametrize("bytes_left_out", [0, 4])
def test_the_area_is_asked_for_and_kept(connect: Connect, given: Fd, bytes_left_out: int) -> None:
    answer = AREA.pack(8192, 4096, 3, 256, 0)[: AREA.size - bytes_left_out]
    assert ask(connect(answering(answer, [given(memfd)]))) == (0, (8192, 4096))


@pytest.mark.parametrize(
    ("size", "offset"),
    [
        (0, 0),
        (FILE_BYTES + 1, 0),
        (8192, 8192),
        (4096, 1),
        (4096, FILE_BYTES + 4096),
        (1 << 63, 4096),
        ((1 << 64) - 4096, 8192),
        (4096, (1 << 64) - 4096),
    ],
)
def test_an_area_that_its_file_does_not_hold_is_refused(
    connect: Connect, given: Fd, size: int, offset: int
) -> None:
    vu = connect(answering(AREA.pack(size, offset, 3, 256, 0), [given(memfd)]))
    assert ask(vu)[0] == -errno.EPROTO
    assert f"{size} bytes at {offset} of a file that cannot be mapped there" in sentence()
    assert vu.is_dead


@pytest.mark.parametrize(
    "opener", [pipe, read_only, lambda: os.open("/dev/null", os.O_RDWR), lambda: os.eventfd(0)]
)
def test_a_descriptor_that_is_not_of_memory_is_refused(
    connect: Connect, given: Fd, opener: Opener
) -> None:
    vu = connect(answering(AREA.pack(4096, 0, 3, 256, 0), [given(opener)]))
    assert ask(vu)[0] == -errno.EPROTO
    assert "cannot be mapped" in sentence()


@pytest.mark.parametrize("count", [0, 2, 8, 20])
def test_the_answer_has_exactly_one_descriptor(connect: Connect, given: Fd, count: int) -> None:
    fds = [given(memfd)] * count
    assert ask(connect(answering(AREA.pack(4096, 0, 3, 256, 0), fds)))[0] == -errno.EPROTO
    assert " file descriptors instead of one" in sentence()


@pytest.mark.parametrize("length", [0, 19, 25, 32])
def test_an_answer_of_another_length_is_refused(connect: Connect, given: Fd, length: int) -> None:
    answer = AREA.pack(4096, 0, 3, 256, 0).ljust(length, b"x")[:length]
    assert ask(connect(answering(answer, [given(memfd)])))[0] == -errno.EPROTO
    assert f"answered GET_INFLIGHT_FD with {length} bytes instead of 24" in sentence()


def hand_over(vu: CData, fd: int) -> int:
    fields = {"mmap_size": 8192, "mmap_offset": 4096, "num_queues": 3, "queue_size": 256}
    area = ffi.new("struct vhost_user_inflight *", fields)
    return int(lib.vhost_user_set_inflight_fd(vu, area, fd))


def test_the_area_is_handed_over_with_its_file(connect: Connect, given: Fd) -> None:
    fd = given(memfd)

    def script(connection: Connection) -> None:
        message = connection.receive()
        assert message.payload == AREA.pack(8192, 4096, 3, 256, 0)
        (came,) = message.fds
        assert os.path.sameopenfile(came, fd)
        connection.answer(message)

    vu = connect(script)
    vu.protocol = REPLY_ACK
    assert hand_over(vu, fd) == 0


def test_an_area_that_was_cut_short_is_not_handed_over(connect: Connect, given: Fd) -> None:
    vu, fd = connect(wait_for_hang_up), given(memfd)
    os.truncate(fd, 8192)
    assert hand_over(vu, fd) == -errno.ESTALE
    assert "record of its requests in flight was cut short" in sentence()
    assert not vu.is_dead
