# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes of which serve understands nothing: one sentence or a closed connection, never a hang."""

import socket as socket_module
import struct

import pytest

from pyfio_virtio.hosts import wire
from tests.pyfio_virtio.hosts.conftest import Client, Serve, Served

HEADER = struct.Struct("<HHIQI")


def header(length: int) -> bytes:
    head = HEADER.pack(97, wire.OPCODE_JOB, 0, 0, length)
    return head + struct.pack("<HH", wire.crc16(head), 0)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(20),
        bytes(100),
        header(0xFFFFFFFF),
        wire.GREETING + b"\n",
        wire.GREETING + b"[" * 10_000 + b"\n",
        wire.GREETING + b'{"kind":"fio","bytes":1000000000000}\n',
        wire.GREETING + b'{"kind":"clock","n":' + b"1" * 5000 + b"}\n",
        wire.GREETING + b"x" * (wire.LONGEST_LINE + 1),
        wire.GREETING + b'{"kind":"clock","n":"1"}\n',
        b"pyfio-virtio 2\n" + bytes(20),
    ],
    ids=lambda data: repr(data[:30]),
)
def test_bytes_that_make_no_sense(here: Served, data: bytes) -> None:
    with Client(here.socket, greets=False) as client:
        client.connection.sendall(data)
        answer = client.closes()
    assert b"refused" in answer or b"pyfio-virtio: " in answer


def test_clients_that_say_only_half(served: Serve) -> None:
    here = served(limits={"session._GREETING_S": 0.3, "plain._PATIENCE_S": 0.3})
    halves = (b"", b"p", wire.GREETING[:-1], bytes(3), header(1000))
    clients = [Client(here.socket, greets=False) for _ in halves]
    for client, data in zip(clients, halves, strict=True):
        client.connection.sendall(data)
    for client in clients:
        with client:
            client.closes()
    here.wait_until_idle()


def test_a_greeting_byte_by_byte(here: Served) -> None:
    with Client(here.socket, greets=False) as client:
        for byte in wire.GREETING:
            client.connection.sendall(bytes([byte]))
        client.ask("clock", "clock", n=1)


def test_many_connections_one_after_the_other(here: Served) -> None:
    before = len(here.processes())
    for _ in range(300):
        with socket_module.socket(socket_module.AF_UNIX) as connection:
            connection.connect(here.socket)
    with Client(here.socket) as client:
        client.ask("clock", "clock", n=1)
    here.wait_until_idle()
    assert before == len(here.processes())


def test_beats_come_by_themselves(here: Served) -> None:
    with Client(here.socket) as client:
        client.next("beat")
        client.next("beat")
