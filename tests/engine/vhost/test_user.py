# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests on a vhost-user connection, connecting, and the back-end's own requests.

What engine/vhost/user.c sends is seen as bytes by a scripted back-end on a real socket.
"""

import errno
import os
import re
import socket
import struct
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.scripted_backend import (
    NEED_REPLY,
    TIMEOUT_S,
    U64,
    VERSION,
    Connection,
    Message,
    wait_for_hang_up,
)
from tests.engine.shared_object import (
    ffi,
    lib,
    sentence,
)
from tests.engine.vhost_requests import (
    REPLY_ACK,
    TIMEOUT_MS,
    Connect,
    Order,
    Question,
    ask_number,
    every_order,
    every_question,
)
from tests.open_descriptors import descriptors
from tests.vhost_numbers import Request

SHORT_MS = 50


@every_question
def test_a_question_is_sent_and_its_answer_taken(connect: Connect, question: Question) -> None:
    def script(connection: Connection) -> None:
        message = connection.receive()
        assert message == Message(question.request, VERSION, question.sent)
        connection.answer(message, question.answer)

    assert question.ask(connect(script)) == 0


def test_the_number_is_handed_on(connect: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.answer(connection.receive(), U64.pack(1 << 63 | 1 << 30))

    features = ffi.new("uint64_t *")
    lib.vhost_user_get_features(connect(script), features)
    assert features[0] == 1 << 63 | 1 << 30


def test_the_configuration_is_handed_on(connect: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.answer(connection.receive(), struct.pack("=III8s", 0, 8, 0, b"12345678"))

    space = ffi.new("char[8]")
    lib.vhost_user_get_config(connect(script), space, 8)
    assert ffi.buffer(space)[:] == b"12345678"


@every_order
def test_an_order_is_sent(connect: Connect, order: Order) -> None:
    def script(connection: Connection) -> None:
        message = connection.receive()
        assert (message.request, message.flags) == (order.request, VERSION)
        assert message.payload == order.sent
        assert len(message.fds) == order.fds
        if order.request in (Request.SET_MEM_TABLE, Request.ADD_MEM_REG):
            barrier = connection.receive()
            assert barrier.request == Request.GET_FEATURES
            connection.answer(barrier)

    assert order.give(connect(script)) == 0


@every_order
def test_with_reply_ack_an_order_waits_for_its_answer(connect: Connect, order: Order) -> None:
    def script(connection: Connection) -> None:
        message = connection.receive()
        assert message.flags == VERSION | NEED_REPLY
        connection.answer(message)

    vu = connect(script)
    vu.protocol = REPLY_ACK
    assert order.give(vu) == 0


@every_order
def test_a_refused_order_is_told_in_a_sentence(connect: Connect, order: Order) -> None:
    def script(connection: Connection) -> None:
        connection.answer(connection.receive(), U64.pack(22))
        wait_for_hang_up(connection)

    vu = connect(script)
    vu.protocol = REPLY_ACK
    assert order.give(vu) == -errno.EREMOTEIO
    assert f"the back-end refused {order.request.name} (it answered 22)" in sentence()


def test_a_refusal_does_not_end_the_connection(connect: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.answer(connection.receive(), U64.pack(1))
        connection.answer(connection.receive())

    vu = connect(script)
    vu.protocol = REPLY_ACK
    codes = [lib.vhost_user_set_owner(vu), lib.vhost_user_set_owner(vu)]
    assert codes == [-errno.EREMOTEIO, 0]


def test_reply_ack_holds_from_the_request_after_its_agreement(connect: Connect) -> None:
    def script(connection: Connection) -> None:
        agreement = connection.receive()
        assert (agreement.flags, agreement.number) == (VERSION, REPLY_ACK)
        following = connection.receive()
        assert following.needs_reply
        connection.answer(following)

    vu = connect(script)
    assert lib.vhost_user_set_protocol_features(vu, REPLY_ACK) == 0
    assert lib.vhost_user_set_owner(vu) == 0


# ---- connecting --------------------------------------------------------------


def connect_to(path: Path | str, timeout_ms: int = TIMEOUT_MS) -> int:
    vu = ffi.new("struct vhost_user *")
    code = int(lib.vhost_user_connect(vu, str(path).encode(), timeout_ms))
    lib.vhost_user_close(vu)
    return code


def test_a_socket_that_is_not_there(private: Path) -> None:
    assert connect_to(private / "none") == -errno.ENOENT
    assert sentence().startswith(f"{private}/none: no such socket")


def test_a_file_that_is_no_socket(private: Path) -> None:
    (private / "file").touch()
    assert connect_to(private / "file") == -errno.ENOTSOCK
    assert sentence().startswith(f"{private}/file is not a socket")


def test_a_folder_is_no_socket(private: Path) -> None:
    assert connect_to(private) == -errno.ENOTSOCK


def test_a_socket_without_a_listener(private: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(private / "old"))
    assert connect_to(private / "old") == -errno.ECONNREFUSED
    assert sentence().startswith(f"{private}/old: nobody listens")


def test_a_socket_of_another_kind(private: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(private / "dgram"))
        assert connect_to(private / "dgram") == -errno.EPROTOTYPE
        assert sentence().startswith(f"{private}/dgram: cannot connect: ")


def test_a_path_that_is_too_long() -> None:
    assert connect_to("/" + "x" * 107) == -errno.ENAMETOOLONG
    assert "has at most 107 characters" in sentence()


def test_the_longest_path_is_tried() -> None:
    assert connect_to("/" + "x" * 106) == -errno.ENOENT


def test_a_full_backlog_times_out(private: Path) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(private / "busy"))
        listener.listen(0)
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(private / "busy"))
        assert connect_to(private / "busy", SHORT_MS) == -errno.ETIMEDOUT
    assert "does not accept connections" in sentence()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to everything")
def test_a_socket_of_somebody_else(private: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(private / "theirs"))
        listener.listen()
        (private / "theirs").chmod(0)
        assert connect_to(private / "theirs") == -errno.EACCES


def test_a_failed_connection_leaves_no_descriptor(private: Path) -> None:
    before = descriptors()
    connect_to(private / "none")
    assert descriptors() == before


def test_closing_twice_is_harmless(connect: Connect) -> None:
    vu = connect(wait_for_hang_up)
    lib.vhost_user_close(vu)
    lib.vhost_user_close(vu)


def test_a_connection_ends_although_another_process_has_the_socket(connect: Connect) -> None:
    ended = threading.Event()

    def script(connection: Connection) -> None:
        wait_for_hang_up(connection)
        ended.set()

    vu = connect(script)
    inherited = os.dup(vu.fd)
    lib.vhost_user_close(vu)
    assert ended.wait(TIMEOUT_S)
    os.close(inherited)


def test_sentences_name_the_socket(connect: Connect) -> None:
    vu = connect(lambda connection: None)
    ask_number("vhost_user_get_features")(vu)
    assert re.match(r"/.*/disk\.sock: the back-end hung up", sentence())
