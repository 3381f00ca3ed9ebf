# SPDX-License-Identifier: GPL-2.0-or-later
"""The back-end's own requests, which nothing waits for: engine/vhost/channel.c."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.engine.scripted_backend import HEADER, NEED_REPLY, REPLY, U64, VERSION
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.open_descriptors import descriptors

CONFIG_CHANGE, IOTLB_MSG, UNKNOWN = 2, 1, 77
CHANGE = HEADER.pack(CONFIG_CHANGE, VERSION, 0)
LONGEST = 280  # ample for the payload of each message of the protocol


@dataclass
class Channel:
    """A channel, and the back-end's end of it."""

    ours: CData
    theirs: socket.socket

    def read(self) -> int:
        return int(lib.vhost_channel_read(self.ours))

    def send(self, data: bytes, fds: list[int] | None = None) -> int:
        """Sends and lets the channel read."""
        socket.send_fds(self.theirs, [data], fds or [])
        return self.read()


@pytest.fixture
def channel() -> Iterator[Channel]:
    before = descriptors()
    ours, theirs = ffi.new("struct vhost_channel *"), ffi.new("int *")
    assert lib.vhost_channel_open(ours, theirs) == 0
    with socket.socket(fileno=theirs[0]) as end:
        end.setblocking(False)
        yield Channel(ours, end)
    lib.vhost_channel_close(ours)
    assert descriptors() == before


def answer_to(channel: Channel) -> tuple[int, int, int]:
    """Request, flags and number of the only answer."""
    request, flags, size = HEADER.unpack(channel.theirs.recv(HEADER.size))
    (number,) = U64.unpack(channel.theirs.recv(size))
    with pytest.raises(BlockingIOError):
        channel.theirs.recv(1)
    return request, flags, number


def test_nothing_is_no_change(channel: Channel) -> None:
    assert channel.read() == 0


def test_a_change_is_told_once(channel: Channel) -> None:
    assert [channel.send(CHANGE), channel.read()] == [1, 0]


def test_several_changes_are_one(channel: Channel) -> None:
    assert [channel.send(3 * CHANGE), channel.read()] == [1, 0]


def test_a_change_that_comes_byte_by_byte_is_told_at_its_last(channel: Channel) -> None:
    assert [channel.send(CHANGE[i : i + 1]) for i in range(12)] == [0] * 11 + [1]


def test_what_needs_a_reply_gets_one(channel: Channel) -> None:
    assert channel.send(HEADER.pack(CONFIG_CHANGE, VERSION | NEED_REPLY, 0)) == 1
    assert answer_to(channel) == (CONFIG_CHANGE, VERSION | REPLY, 0)


@pytest.mark.parametrize("request_", [IOTLB_MSG, UNKNOWN, 0, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 8, LONGEST - 12])
def test_an_unknown_request_is_passed_over_and_refused_if_it_asks(
    channel: Channel, request_: int, size: int
) -> None:
    assert channel.send(HEADER.pack(request_, VERSION, size) + bytes(size) + CHANGE) == 1
    assert channel.send(HEADER.pack(request_, VERSION | NEED_REPLY, size) + bytes(size)) == 0
    assert answer_to(channel) == (request_, VERSION | REPLY, 1)


def test_a_change_with_a_payload_is_none(channel: Channel) -> None:
    assert channel.send(HEADER.pack(CONFIG_CHANGE, VERSION | NEED_REPLY, 8) + bytes(8)) == 0
    assert answer_to(channel)[2] == 1


def test_descriptors_that_come_are_closed(channel: Channel) -> None:
    """The fixture counts them."""
    fd = os.eventfd(0)
    assert channel.send(CHANGE, [fd] * 20) == 1
    os.close(fd)


@pytest.mark.parametrize(
    "header",
    [(CONFIG_CHANGE, 0, 0), (CONFIG_CHANGE, 2, 0), (CONFIG_CHANGE, VERSION | REPLY, 0)]
    + [(UNKNOWN, VERSION, size) for size in (4096, 1 << 31, 0xFFFFFFFF)],
)
def test_after_nonsense_nothing_more_is_read(
    channel: Channel, header: tuple[int, int, int]
) -> None:
    assert channel.send(struct.pack("=III", *header) + CHANGE) == -errno.EPROTO
    assert "the back-end sent what is no request" in sentence()
    assert [channel.send(CHANGE), channel.send(bytes(100_000))] == [0, 0]


def test_a_back_end_that_sends_without_end_does_not_keep_the_thread(channel: Channel) -> None:
    channel.theirs.sendall(1000 * CHANGE)
    reads = 0
    while channel.read() == 1:
        reads += 1
    assert reads > 10


def test_a_back_end_that_does_not_read_its_answers_is_told_of(channel: Channel) -> None:
    request = HEADER.pack(UNKNOWN, VERSION | NEED_REPLY, 0)
    while (code := channel.send(10 * request)) == 0:
        pass
    assert code == -errno.EPROTO
    assert "does not read the answer" in sentence()


def test_a_back_end_that_closes_its_end_changes_nothing(channel: Channel) -> None:
    channel.theirs.close()
    assert [channel.read(), channel.read()] == [0, 0]
