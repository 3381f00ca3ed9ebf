# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers of a back-end that are wrong, late, cut short or oddly cut: engine/vhost/wire.c.

Every one of them ends in a sentence, within its deadline, and leaves a dead connection behind. How
an answer is read does not depend on the request; tests/engine/lies tries all of them.
"""

import errno
import socket
import struct
from collections.abc import Callable

import pytest

from tests.engine.scripted_backend import (
    HEADER,
    REPLY,
    STATE,
    VERSION,
    Connection,
    Message,
    Script,
    wait_for_hang_up,
)
from tests.engine.shared_object import (
    CData,
    lib,
    sentence,
)
from tests.engine.vhost_requests import (
    ORDERS,
    QUESTIONS,
    REPLY_ACK,
    TIMEOUT_MS,
    Connect,
    Question,
    ask_number,
    every_question,
    get_config,
    get_vring_base,
    spare_fd,
)
from tests.vhost_numbers import Request

SHORT_MS = 50
STRUCTURE = next(each for each in QUESTIONS if each.request == Request.GET_CONFIG)


# ---- wrong answers -----------------------------------------------------------


def wrong_request(connection: Connection, asked: Message, answer: bytes) -> None:
    connection.send(HEADER.pack(asked.request + 1, VERSION | REPLY, len(answer)) + answer)


def no_reply_flag(connection: Connection, asked: Message, answer: bytes) -> None:
    connection.send(HEADER.pack(asked.request, VERSION, len(answer)) + answer)


def wrong_version(connection: Connection, asked: Message, answer: bytes) -> None:
    connection.send(HEADER.pack(asked.request, 2 | REPLY, len(answer)) + answer)


def too_long(connection: Connection, asked: Message, answer: bytes) -> None:
    connection.send(HEADER.pack(asked.request, VERSION | REPLY, len(answer) + 1) + answer + b"x")


def too_short(connection: Connection, asked: Message, answer: bytes) -> None:
    connection.send(HEADER.pack(asked.request, VERSION | REPLY, len(answer) - 1) + answer[:-1])


def empty(connection: Connection, asked: Message, _: bytes) -> None:
    connection.send(HEADER.pack(asked.request, VERSION | REPLY, 0))


def endless(connection: Connection, asked: Message, answer: bytes) -> None:
    connection.send(HEADER.pack(asked.request, VERSION | REPLY, 0xFFFFFFFF) + answer)


def noise(connection: Connection, _: Message, __: bytes) -> None:
    connection.send(bytes(range(200, 256)))


def unknown_request(connection: Connection, _: Message, answer: bytes) -> None:
    connection.send(HEADER.pack(0xFFFFFFFF, VERSION | REPLY, len(answer)) + answer)


Wrong = Callable[[Connection, Message, bytes], None]
WRONG = [
    wrong_request,
    no_reply_flag,
    wrong_version,
    too_long,
    too_short,
    empty,
    endless,
    noise,
    unknown_request,
]
every_wrong = pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)


def then_wait(question: Question, wrong: Wrong) -> Script:
    def script(connection: Connection) -> None:
        wrong(connection, connection.receive(), question.answer)
        wait_for_hang_up(connection)

    return script


def check_dead(vu: CData) -> None:
    """Every call fails at once, even those that wait for no answer."""
    for question in QUESTIONS:
        assert question.ask(vu) == -errno.ENOTCONN
        assert f"{question.request.name} cannot be sent: the connection is closed" in sentence()
    for order in ORDERS:
        assert order.give(vu) == -errno.ENOTCONN


@every_wrong
def test_a_wrong_answer_is_a_protocol_error(connect: Connect, wrong: Wrong) -> None:
    vu = connect(then_wait(STRUCTURE, wrong))
    assert STRUCTURE.ask(vu) == -errno.EPROTO
    assert f"the back-end answered {STRUCTURE.request.name} with " in sentence()
    check_dead(vu)


@pytest.mark.parametrize("wrong", WRONG[:-2], ids=lambda wrong: wrong.__name__)
def test_a_wrong_acknowledgement_is_a_protocol_error(connect: Connect, wrong: Wrong) -> None:
    vu = connect(then_wait(QUESTIONS[0], wrong))
    vu.protocol = REPLY_ACK
    assert lib.vhost_user_set_owner(vu) == -errno.EPROTO


@pytest.mark.parametrize(("offset", "size"), [(1, 8), (0, 7), (0, 0xFFFFFFFF)])
def test_a_configuration_of_another_place_is_refused(
    connect: Connect, offset: int, size: int
) -> None:
    def script(connection: Connection) -> None:
        connection.answer(connection.receive(), struct.pack("=III8x", offset, size, 0))
        wait_for_hang_up(connection)

    vu = connect(script)
    assert get_config(vu) == -errno.EPROTO
    assert f"{size} bytes at offset {offset} instead of 8 at 0" in sentence()


def test_the_base_of_another_queue_is_refused(connect: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.answer(connection.receive(), STATE.pack(4, 0))
        wait_for_hang_up(connection)

    vu = connect(script)
    assert get_vring_base(vu) == -errno.EPROTO


# ---- silence and hang-ups ----------------------------------------------------


def ask_in_vain(question: Question, connect: Connect, part: bytes) -> CData:
    """Asks a back-end that sends `part` and then nothing; the call ends by its deadline."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(part)
        wait_for_hang_up(connection)

    vu = connect(script)
    lib.vhost_user_set_timeout(vu, SHORT_MS)
    assert question.ask(vu) == -errno.ETIMEDOUT
    assert f"did not answer {question.request.name} in time" in sentence()
    return vu


def whole(question: Question) -> bytes:
    header = HEADER.pack(question.request, VERSION | REPLY, len(question.answer))
    return header + question.answer


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13])
def test_an_answer_that_does_not_come_in_full_times_out(connect: Connect, length: int) -> None:
    ask_in_vain(STRUCTURE, connect, whole(STRUCTURE)[:length])


def test_after_a_time_out_every_call_fails_at_once(connect: Connect) -> None:
    vu = ask_in_vain(QUESTIONS[0], connect, b"")
    lib.vhost_user_set_timeout(vu, TIMEOUT_MS)
    check_dead(vu)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13])
def test_a_hang_up_in_an_answer_is_told(connect: Connect, length: int) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(whole(STRUCTURE)[:length])

    vu = connect(script)
    assert STRUCTURE.ask(vu) == -errno.ECONNRESET
    assert f"the back-end hung up at {STRUCTURE.request.name}" in sentence()
    check_dead(vu)


def test_a_back_end_that_is_gone_raises_no_signal(connect: Connect) -> None:
    vu = connect(lambda connection: None)
    codes = {lib.vhost_user_set_owner(vu) for _ in range(100)}
    assert codes <= {0, -errno.ECONNRESET, -errno.ENOTCONN}


def test_is_gone_is_false_while_connected(connect: Connect) -> None:
    vu = connect(wait_for_hang_up)
    assert not lib.vhost_user_is_gone(vu)


def test_is_gone_is_false_while_an_answer_waits_to_be_read(connect: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.send(b"unasked")
        connection.answer(connection.receive())
        wait_for_hang_up(connection)

    vu = connect(script)
    assert lib.vhost_user_set_owner(vu) == 0
    assert not lib.vhost_user_is_gone(vu)


def test_is_gone_is_true_after_a_hang_up(connect: Connect) -> None:
    vu = connect(lambda connection: None)
    ask_number("vhost_user_get_features")(vu)
    assert lib.vhost_user_is_gone(vu)


# ---- odd but right -----------------------------------------------------------


@every_question
def test_an_answer_may_come_byte_by_byte(connect: Connect, question: Question) -> None:
    def script(connection: Connection) -> None:
        connection.stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        connection.receive()
        for byte in whole(question):
            connection.send(bytes([byte]))

    assert question.ask(connect(script)) == 0


def test_file_descriptors_that_come_with_an_answer_are_closed(connect: Connect) -> None:
    """With the header, with the payload, and more than there is room for: `connect` counts."""

    def script(connection: Connection) -> None:
        connection.receive()
        answer = whole(QUESTIONS[0])
        with spare_fd() as fd:
            connection.send(answer[:12], [fd] * 3)
            connection.send(answer[12:], [fd] * 40)

    assert QUESTIONS[0].ask(connect(script)) == 0
