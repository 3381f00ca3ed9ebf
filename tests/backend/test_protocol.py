# SPDX-License-Identifier: GPL-2.0-or-later
"""vhost-user messages: which are answered, which are refused, and that other clients are served."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend import frontend as fe
from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import BLK_IOERR, BLK_OK, BLK_READ, BLK_WRITE, BlkRequest, blk
from tests.backend.frontend import Connection, Frontend, Memory
from tests.waiting import wait_until


@pytest.fixture
def path(backend: StartBuiltin) -> str:
    return backend().settings.socket_path


@pytest.fixture
def connection(path: str) -> Iterator[Connection]:
    """A client that negotiated acknowledgements, and nothing else."""
    opened = Connection(path)
    offered = opened.ask_u64(fe.GET_PROTOCOL_FEATURES)
    opened.send(fe.SET_PROTOCOL_FEATURES, struct.pack("<Q", offered))
    yield opened
    opened.close()


def test_offers_what_it_should(connection: Connection) -> None:
    offered = connection.ask_u64(fe.GET_PROTOCOL_FEATURES)
    wanted = (0, 3, 5, 9, 12, 13, 15, 16)
    assert offered == sum(1 << bit for bit in wanted)
    features = connection.ask_u64(fe.GET_FEATURES)
    for bit in (2, 6, 9, 11, 12, 13, 14, 28, 29, 30, 32):
        assert features & 1 << bit, bit


def test_tells_queues_and_slots(backend: StartBuiltin) -> None:
    started = backend(queue_count=3)
    connection = Connection(started.settings.socket_path)
    assert connection.ask_u64(fe.GET_QUEUE_NUM) == 3
    assert connection.ask_u64(fe.GET_MAX_MEM_SLOTS) == 64
    connection.close()


def test_status_is_kept(connection: Connection) -> None:
    assert connection.tell(fe.SET_STATUS, struct.pack("<Q", 7)) == 0
    assert connection.ask_u64(fe.GET_STATUS) == 7


def test_half_a_message_holds_up_nobody(path: str) -> None:
    connection = Connection(path)
    connection.send_raw(struct.pack("<II", fe.GET_FEATURES, 1))
    with Frontend(path) as other:
        assert blk(other, BLK_READ, 0, in_bytes=512).status == BLK_OK
    connection.send_raw(struct.pack("<I", 0))
    assert connection.receive()[0] == fe.GET_FEATURES
    connection.close()


def region(guest: int, size: int, user: int, offset: int = 0) -> bytes:
    return struct.pack("<QQQQ", guest, size, user, offset)


def test_regions_come_and_go_while_rings_run(path: str) -> None:
    extra = Memory(1 << 16)
    payload = struct.pack("<Q", 0) + region(1 << 40, extra.size, 1 << 40)
    with Frontend(path) as frontend:
        for _ in range(3):
            assert frontend.tell(fe.ADD_MEM_REG, payload, [extra.fd]) == 0
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
            assert frontend.tell(fe.REM_MEM_REG, payload) == 0
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
    extra.close()


def test_slots_are_counted(connection: Connection) -> None:
    memory = Memory(4096)
    for slot in range(64):
        payload = struct.pack("<Q", 0) + region(slot << 20, 4096, slot << 20)
        assert connection.tell(fe.ADD_MEM_REG, payload, [memory.fd]) == 0
    payload = struct.pack("<Q", 0) + region(1 << 40, 4096, 1 << 40)
    assert connection.tell(fe.ADD_MEM_REG, payload, [memory.fd]) > 0
    memory.close()


def test_several_clients_share_the_storage(path: str) -> None:
    with Frontend(path) as one, Frontend(path) as other:
        assert blk(one, BLK_WRITE, 3, b"shared! " * 64).status == BLK_OK
        assert blk(other, BLK_READ, 3, in_bytes=512).data == b"shared! " * 64


def test_a_client_that_dies_with_requests_leaves_the_others_served(backend: StartBuiltin) -> None:
    started = backend(latency="5ms")
    path = started.settings.socket_path
    with Frontend(path) as survivor:
        with Frontend(path) as victim:
            queue = victim.queues[0]
            for _ in range(10):
                request = BlkRequest(victim.memory, BLK_READ, 0, in_bytes=512)
                queue.offer(queue.add(request.chain()))
            queue.publish()
            queue.kick()
        for _ in range(5):
            assert blk(survivor, BLK_READ, 0, in_bytes=512).status == BLK_OK


def test_reset_device_starts_anew(path: str) -> None:
    with Frontend(path) as frontend:
        blk(frontend, BLK_READ, 0, in_bytes=512)
        assert frontend.tell(fe.RESET_DEVICE) == 0
        frontend.negotiate()
        frontend.start_queue(0, base=1)
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK


def test_a_change_of_size_is_told_on_the_request_socket(backend: StartBuiltin) -> None:
    started = backend()
    ours, theirs = socket.socketpair()
    with ours, theirs, Frontend(started.settings.socket_path) as frontend:
        assert frontend.tell(fe.SET_BACKEND_REQ_FD, b"", [theirs.fileno()]) == 0
        started.command("resize 512KiB")
        ours.settimeout(fe.TIMEOUT_S)
        assert struct.unpack("<III", ours.recv(12)) == (2, 1, 0)
        assert struct.unpack_from("<Q", frontend.config()) == (1024,)
        assert blk(frontend, BLK_READ, 1024, in_bytes=512).status == BLK_IOERR


def test_descriptors_sent_in_vain_are_closed(connection: Connection) -> None:
    reader, writer = os.pipe()
    for _ in range(20):
        connection.send(fe.GET_FEATURES, b"", [writer])
        connection.receive()
    assert connection.reply_fds == []
    os.close(writer)
    assert os.read(reader, 1) == b""  # nobody holds the other end
    os.close(reader)


def test_a_client_that_left_is_not_heard_though_a_child_holds_its_socket(
    backend: StartBuiltin,
) -> None:
    """As a process does between fork and exec: the events of its copies go on."""
    started = backend()
    leaving = Connection(started.settings.socket_path)
    leaving.ask_u64(fe.GET_FEATURES)
    copies = copies_of_sockets(leaving.socket.fileno())
    leaving.close()
    wait_until(lambda: not started.statistics()["clients"])
    # Time enough to hear once more.
    time.sleep(0.01)
    with Frontend(started.settings.socket_path) as frontend:
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
    for fd in copies:
        os.close(fd)


def copies_of_sockets(but: int) -> list[int]:
    fds = Path("/proc/self/fd").iterdir()
    return [os.dup(int(fd.name)) for fd in fds if int(fd.name) != but and fd.is_socket()]
