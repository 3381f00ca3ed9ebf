# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that hang up, stay silent, or answer late, short or nonsense, at each message.

A relay in front of a real back-end misbehaves at one request, and passes all others.
"""

import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from tests.conftest import Fio, FioRun, StartBackend
from tests.end_to_end.conftest import StartRelay
from tests.end_to_end.refusal import refusal
from tests.end_to_end.relay import HangUp, Message, Request, Tamper

Answer = Callable[[Message], "Message | bytes | None"]

ASKED = (
    Request.GET_FEATURES,
    Request.GET_PROTOCOL_FEATURES,
    Request.GET_MAX_MEM_SLOTS,
    Request.GET_CONFIG,
    Request.GET_QUEUE_NUM,
)
# Answered because REPLY_ACK was agreed on.
ACKNOWLEDGED = (
    Request.SET_OWNER,
    Request.SET_FEATURES,
    Request.ADD_MEM_REG,
    Request.SET_VRING_NUM,
    Request.SET_VRING_BASE,
    Request.SET_VRING_ADDR,
    Request.SET_VRING_CALL,
    Request.SET_VRING_KICK,
    Request.SET_VRING_ENABLE,
)
ANSWERED = ASKED + ACKNOWLEDGED
# One of each form; how an answer is read does not depend on what was asked.
SOME = (Request.GET_FEATURES, Request.GET_CONFIG, Request.ADD_MEM_REG, Request.SET_VRING_ENABLE)
REPLY_ACK, MEM_SLOTS, CONFIG, MQ = 1 << 3, 1 << 15, 1 << 9, 1 << 0


def name_of(request: Request) -> str:
    return request.name


def at_reply(request: Request, answer: Answer) -> Tamper:
    def tamper(message: Message) -> Message | bytes | None:
        hit = message.is_reply and message.request == request
        return answer(message) if hit else message

    return tamper


def hang_up(message: Message) -> None:
    raise HangUp


def cut_short(message: Message) -> None:
    raise HangUp(message.encoded()[:-3])


def with_wrong_size(message: Message) -> Message:
    return Message(message.request, message.flags, message.payload + b"more")


def with_wrong_request(message: Message) -> Message:
    return Message(message.request + 100, message.flags, message.payload)


def without_reply_flag(message: Message) -> Message:
    return Message(message.request, 1, message.payload)


def nonsense(message: Message) -> bytes:
    return bytes(range(0x80, 0x80 + 40))


@pytest.fixture
def run_through(qsd: StartBackend, fio: Fio, relay: StartRelay) -> Callable[[Tamper], FioRun]:
    def run(tamper: Tamper) -> FioRun:
        socket = relay(qsd().socket, tamper)
        return fio(socket, rw="randread", number_ios=10, connect_timeout=1)

    return run


RunThrough = Callable[[Tamper], FioRun]


def test_a_relay_that_changes_nothing_is_not_noticed(run_through: RunThrough) -> None:
    assert run_through(lambda message: message).status == 0


# ---- at each message -------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [*ANSWERED, Request.SET_PROTOCOL_FEATURES], ids=name_of)
def test_a_hang_up(run_through: RunThrough, request_: Request) -> None:
    def tamper(message: Message) -> Message:
        if message.request == request_:
            raise HangUp
        return message

    assert "hung up at" in refusal(run_through(tamper))


@pytest.mark.parametrize("request_", SOME, ids=name_of)
def test_an_answer_cut_short(run_through: RunThrough, request_: Request) -> None:
    said = refusal(run_through(at_reply(request_, cut_short)))
    assert f"hung up at {request_.name}" in said


@pytest.mark.parametrize("request_", ANSWERED, ids=name_of)
def test_silence(run_through: RunThrough, request_: Request) -> None:
    said = refusal(run_through(at_reply(request_, lambda message: None)))
    assert f"did not answer {request_.name} in time" in said


@pytest.mark.parametrize("request_", SOME, ids=name_of)
def test_nonsense(run_through: RunThrough, request_: Request) -> None:
    said = refusal(run_through(at_reply(request_, nonsense)))
    assert f"answered {request_.name} with" in said


@pytest.mark.parametrize("request_", ACKNOWLEDGED, ids=name_of)
def test_a_request_that_is_refused(run_through: RunThrough, request_: Request) -> None:
    said = refusal(run_through(at_reply(request_, lambda message: message.with_u64(22))))
    assert f"refused {request_.name} (it answered 22)" in said


# ---- some ways at one message ----------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [with_wrong_size, with_wrong_request, without_reply_flag],
    ids=lambda way: way.__name__,
)
@pytest.mark.parametrize("request_", [Request.GET_FEATURES, Request.GET_CONFIG], ids=name_of)
def test_an_answer_of_another_form(
    run_through: RunThrough, request_: Request, answer: Answer
) -> None:
    said = refusal(run_through(at_reply(request_, answer)))
    assert f"answered {request_.name} with" in said


def test_an_answer_that_comes_too_late(run_through: RunThrough) -> None:
    def late(message: Message) -> Message:
        time.sleep(1.5)
        return message

    said = refusal(run_through(at_reply(Request.GET_CONFIG, late)))
    assert "did not answer GET_CONFIG in time" in said


def test_an_answer_in_small_pieces_is_taken(run_through: RunThrough) -> None:
    def dribble(message: Message) -> bytes:
        return message.encoded()

    assert run_through(at_reply(Request.GET_CONFIG, dribble)).status == 0


def test_silence_at_the_end_does_not_hang_a_good_run(run_through: RunThrough) -> None:
    run = run_through(at_reply(Request.GET_VRING_BASE, lambda message: None))
    assert (run.status, run.first["read"]["total_ios"]) == (0, 10)


def test_a_hang_up_at_the_end_does_not_spoil_a_good_run(run_through: RunThrough) -> None:
    run = run_through(at_reply(Request.GET_VRING_BASE, hang_up))
    assert (run.status, run.first["read"]["total_ios"]) == (0, 10)


# ---- what a back-end says of itself ----------------------------------------------------------


def with_config(start: int, value: int, size: int) -> Tamper:
    """The answer to GET_CONFIG with `size` bytes at `start` of the configuration space changed."""

    def change(message: Message) -> Message:
        where = 12 + start  # after offset, size and flags
        payload = message.payload[:where] + value.to_bytes(size, "little")
        return Message(message.request, message.flags, payload + message.payload[where + size :])

    return at_reply(Request.GET_CONFIG, change)


# Offsets in struct virtio_blk_config (virtio 1.2, 5.2.4).
CAPACITY, BLK_SIZE, NUM_QUEUES = 0, 20, 34


@pytest.mark.parametrize(
    ("start", "value", "size"),
    [
        (CAPACITY, 0, 8),
        (CAPACITY, (1 << 64) - 1, 8),
        (BLK_SIZE, 0, 4),
        (BLK_SIZE, 1000, 4),
        (BLK_SIZE, 1 << 31, 4),
    ],
    ids=["no-capacity", "huge-capacity", "no-block-size", "odd-block-size", "huge-block-size"],
)
def test_an_impossible_configuration_is_refused(
    run_through: RunThrough, start: int, value: int, size: int
) -> None:
    assert refusal(run_through(with_config(start, value, size)))


def test_no_queues_are_refused(run_through: RunThrough) -> None:
    said = refusal(run_through(at_reply(Request.GET_QUEUE_NUM, lambda reply: reply.with_u64(0))))
    assert "queue" in said


def test_no_memory_slots_are_refused(run_through: RunThrough) -> None:
    tamper = at_reply(Request.GET_MAX_MEM_SLOTS, lambda reply: reply.with_u64(0))
    assert "memory region" in refusal(run_through(tamper))


def test_a_device_that_shrank_since_setup_is_noticed(run_through: RunThrough) -> None:
    """Read at setup and again at init: requests beyond the second answer must not succeed."""
    capacities: Iterator[int] = chain([1 << 21], repeat(1))

    def tamper(message: Message) -> Message | bytes | None:
        if message.is_reply and message.request == Request.GET_CONFIG:
            return with_config(CAPACITY, next(capacities), 8)(message)
        return message

    assert run_through(tamper).status == 1


# ---- features that are not offered -----------------------------------------------------------


@pytest.mark.parametrize(
    "bits",
    [REPLY_ACK, MEM_SLOTS, MQ, REPLY_ACK | MEM_SLOTS, REPLY_ACK | MEM_SLOTS | MQ],
    ids=["no-REPLY_ACK", "no-MEM_SLOTS", "no-MQ", "only-MEM_TABLE", "nothing-but-CONFIG"],
)
def test_protocol_features_that_are_not_offered_are_done_without(
    qsd: StartBackend, fio: Fio, relay: StartRelay, bits: int
) -> None:
    mask = at_reply(Request.GET_PROTOCOL_FEATURES, lambda reply: reply.with_u64(reply.u64 & ~bits))
    socket = relay(qsd().socket, mask)
    run = fio(socket, rw="randwrite", bs="4k", size="1m", iodepth=16, verify="crc32c")
    assert (run.status, run.first["read"]["total_ios"]) == (0, 256), run.stderr


def test_without_config_the_job_says_how_large_the_disk_is(
    qsd: StartBackend, fio: Fio, relay: StartRelay
) -> None:
    mask = at_reply(
        Request.GET_PROTOCOL_FEATURES, lambda reply: reply.with_u64(reply.u64 & ~CONFIG)
    )
    socket = relay(qsd().socket, mask)
    run = fio(socket, rw="randwrite", bs="4k", size="1m", iodepth=16, verify="crc32c")
    assert (run.status, run.first["read"]["total_ios"]) == (0, 256), run.stderr


def test_without_config_and_size_is_refused(qsd: StartBackend, fio: Fio, relay: StartRelay) -> None:
    mask = at_reply(
        Request.GET_PROTOCOL_FEATURES, lambda reply: reply.with_u64(reply.u64 & ~CONFIG)
    )
    assert "size=" in refusal(fio(relay(qsd().socket, mask), rw="randread"))
