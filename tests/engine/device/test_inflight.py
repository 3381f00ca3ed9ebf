# SPDX-License-Identifier: GPL-2.0-or-later
"""The back-end's record of its requests in flight, in a device's life: engine/device/inflight.c."""

import errno
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.blk_backend import (
    INFLIGHT,
    PROTOCOL,
    BlkBackend,
    BlkConfig,
    describe,
    opened,
    started,
)
from tests.engine.scripted_backend import Connection, Message
from tests.engine.shared_object import lib, sentence
from tests.open_descriptors import descriptors
from tests.vhost_numbers import Request
from tests.waiting import wait_until

AREA = struct.Struct("=QQHHI")  # size, offset, queues, entries, padding
AREA_BYTES = 8192


@dataclass
class Tracking(BlkBackend):
    """Makes a record when it is asked to, and notes which files come back."""

    protocol: int = PROTOCOL | INFLIGHT
    area_bytes: int = AREA_BYTES  # as answered
    handed: list[tuple[int, int]] = field(default_factory=list)  # device and inode
    made: list[tuple[int, int]] = field(default_factory=list)

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        if request == Request.GET_INFLIGHT_FD:
            self._make(connection, message)
            return
        if request == Request.SET_INFLIGHT_FD:
            file = os.fstat(message.fds[0])
            self.handed.append((file.st_dev, file.st_ino))
        super()._serve(connection, request, message)

    def _make(self, connection: Connection, message: Message) -> None:
        fd = os.memfd_create("area")
        os.truncate(fd, AREA_BYTES)
        file = os.fstat(fd)
        self.made.append((file.st_dev, file.st_ino))
        _, _, queues, entries, _ = AREA.unpack(message.payload)
        connection.answer(message, AREA.pack(self.area_bytes, 0, queues, entries, 0), [fd])
        os.close(fd)


def test_without_a_wish_to_reconnect_there_is_no_record(private: Path) -> None:
    backend = Tracking()
    with started(private, backend) as device:
        assert not describe(device).protocol & INFLIGHT
    assert not backend.all_of(Request.GET_INFLIGHT_FD) + backend.all_of(Request.SET_INFLIGHT_FD)


def test_a_back_end_that_offers_no_record_is_not_asked(private: Path) -> None:
    backend = Tracking(protocol=PROTOCOL)
    with started(private, backend, reconnect_timeout_ms=1000):
        pass
    assert not backend.all_of(Request.GET_INFLIGHT_FD) + backend.all_of(Request.SET_INFLIGHT_FD)


def test_the_record_comes_after_all_sizes_and_before_the_rest(private: Path) -> None:
    backend = Tracking(config=BlkConfig(num_queues=2), queue_num=2)
    with started(private, backend, num_queues=2, reconnect_timeout_ms=1000):
        pass
    at = backend.requests.index(Request.SET_VRING_NUM)
    assert backend.requests[at : at + 5] == [
        *(Request.SET_VRING_NUM, Request.SET_VRING_NUM),
        *(Request.GET_INFLIGHT_FD, Request.SET_INFLIGHT_FD, Request.SET_VRING_BASE),
    ]
    assert backend.handed == backend.made


def test_the_record_is_for_all_queues_and_their_entries(private: Path) -> None:
    backend = Tracking(config=BlkConfig(num_queues=2), queue_num=2)
    wishes = {"num_queues": 2, "queue_size": 512, "reconnect_timeout_ms": 1000}
    with started(private, backend, **wishes):
        pass
    (asked,) = backend.all_of(Request.GET_INFLIGHT_FD)
    assert AREA.unpack(asked.payload)[2:4] == (2, 512)


def test_an_area_that_makes_no_sense_ends_the_start_in_words(private: Path) -> None:
    before = descriptors()
    backend = Tracking(area_bytes=AREA_BYTES + 1)
    with opened(private, backend, reconnect_timeout_ms=1000) as device:
        assert lib.device_start(device) == -errno.EPROTO
        assert "blk.sock: the back-end answered GET_INFLIGHT_FD with 8193 bytes" in sentence()
    wait_until(lambda: descriptors() == before, f"{before} open files")


def test_a_refusal_is_told(private: Path) -> None:
    backend = Tracking(refuse=Request.SET_INFLIGHT_FD)
    with opened(private, backend, queue_size=512, reconnect_timeout_ms=1000) as device:
        assert lib.device_start(device) == -errno.EREMOTEIO
        assert sentence().startswith(f"{private}/blk.sock: the back-end refused SET_INFLIGHT_FD")
