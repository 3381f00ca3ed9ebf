# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that grows or shrinks while it is in use: engine/device/changes.c."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.engine.blk_backend import BACKEND_REQ, PROTOCOL, BlkBackend, BlkConfig, started
from tests.engine.scripted_backend import HEADER, VERSION, Connection, Message
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.vhost_numbers import Request

SECTORS = 2048
BYTES = 512 * SECTORS
CHANGE = HEADER.pack(2, VERSION, 0)


@dataclass
class Resizable(BlkBackend):
    """Keeps the socket for its own requests."""

    protocol: int = PROTOCOL | BACKEND_REQ
    config: BlkConfig = field(default_factory=lambda: BlkConfig(capacity=SECTORS))
    own: socket.socket | None = None

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        if request == Request.SET_BACKEND_REQ_FD:
            self.own = socket.socket(fileno=os.dup(message.fds[0]))
        super()._serve(connection, request, message)

    def resize(self, sectors: int) -> None:
        self.config = BlkConfig(capacity=sectors)
        self.say(CHANGE)

    def say(self, data: bytes) -> None:
        assert self.own
        self.own.sendall(data)


@dataclass
class Used:
    """A device in use on this back-end, with one queue."""

    backend: Resizable
    device: CData
    queue: CData

    def notices(self) -> bool:
        return bool(lib.device_notice_changes(self.device))

    def submit(self, offset: int, size: int = 4096) -> int:
        """A read, which nobody carries out."""
        buffer = lib.device_alloc(self.device, size, 0)
        request = lib.queue_get(self.queue)
        request.type, request.buffer = lib.REQUEST_READ, ffi.cast("char *", buffer)
        request.offset_bytes, request.left_bytes = offset, size
        code = int(lib.queue_submit(self.queue, request))
        if code:
            lib.queue_put(self.queue, request)
        return code


@contextmanager
def using(folder: Path, backend: Resizable) -> Iterator[Used]:
    with started(folder, backend) as device:
        yield Used(backend, device, lib.device_claim_queue(device))
    if backend.own:
        backend.own.close()


@pytest.fixture
def used(private: Path) -> Iterator[Used]:
    with using(private, Resizable()) as used:
        yield used


def test_without_news_there_are_none(used: Used) -> None:
    assert not used.notices()
    used.backend.say(CHANGE)
    assert not used.notices()


def test_a_disk_that_grew_is_used_up_to_its_former_end(used: Used) -> None:
    used.backend.resize(2 * SECTORS)
    assert used.notices()
    assert sentence().startswith(f"the disk grew from {BYTES} to {2 * BYTES} bytes")
    assert [used.submit(BYTES - 4096), used.submit(BYTES)] == [0, -errno.ENOSPC]


def test_beyond_the_end_of_a_disk_that_shrank_requests_fail_in_words(used: Used) -> None:
    used.backend.resize(SECTORS // 2)
    assert used.notices()
    assert sentence().startswith(f"the disk shrank from {BYTES} to {BYTES // 2} bytes")
    assert [used.submit(0), used.submit(BYTES // 2 - 4096)] == [0, 0]
    for offset in (BYTES // 2 - 512, BYTES // 2, BYTES - 4096):
        assert used.submit(offset) == -errno.EIO
        assert sentence() == (
            f"a read of 4096 bytes at {offset} lies beyond the end of the disk, which shrank "
            f"from {BYTES} to {BYTES // 2} bytes while it was in use"
        )


def test_a_disk_that_has_its_size_again_is_used_wholly(used: Used) -> None:
    for sectors in (SECTORS // 2, SECTORS):
        used.backend.resize(sectors)
        assert used.notices()
    assert used.submit(BYTES - 4096) == 0


def test_a_configuration_of_nonsense_changes_nothing(used: Used) -> None:
    used.backend.config = BlkConfig(capacity=1 << 62, blk_size=3)
    used.backend.say(CHANGE)
    assert not used.notices()
    assert used.submit(BYTES - 4096) == 0


def test_a_back_end_that_does_not_show_its_configuration_ends_nothing(private: Path) -> None:
    with using(private, Resizable()) as used:
        used.backend.hang_up_at = Request.GET_CONFIG
        used.backend.say(CHANGE)
        assert not used.notices()
        assert used.submit(BYTES - 4096) == 0


def test_nonsense_is_told_once(used: Used) -> None:
    used.backend.say(b"nonsense that is long enough")
    assert [used.notices(), used.notices()] == [True, False]
    assert "sent what is no request" in sentence()


def test_without_a_configuration_no_socket_is_given(private: Path) -> None:
    backend = Resizable(protocol=BACKEND_REQ | 1 << 3)
    with started(private, backend):
        assert backend.own is None
