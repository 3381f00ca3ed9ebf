# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio says of back-ends that hang up, stay silent or refuse, and what it does without.

A relay in front of a real back-end misbehaves at one request, and passes all others. The table in
tests/engine/lies has each message and each way; here are some as fio tells them.
"""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from tests.conftest import Fio, FioRun, StartBackend
from tests.end_to_end.conftest import StartRelay
from tests.end_to_end.refusal import refusal
from tests.end_to_end.relay import HangUp, Message, Tamper
from tests.vhost_numbers import Request

Answer = Callable[[Message], "Message | bytes | None"]

REPLY_ACK, MEM_SLOTS, CONFIG, MQ = 1 << 3, 1 << 15, 1 << 9, 1 << 0


def at_reply(request: Request, answer: Answer) -> Tamper:
    def tamper(message: Message) -> Message | bytes | None:
        hit = message.is_reply and message.request == request
        return answer(message) if hit else message

    return tamper


def hang_up(message: Message) -> None:
    raise HangUp


@pytest.fixture
def run_through(qsd: StartBackend, fio: Fio, relay: StartRelay) -> Callable[[Tamper], FioRun]:
    def run(tamper: Tamper) -> FioRun:
        socket = relay(qsd().socket, tamper)
        return fio(socket, rw="randread", number_ios=10, connect_timeout=1)

    return run


RunThrough = Callable[[Tamper], FioRun]


def test_a_relay_that_changes_nothing_is_not_noticed(run_through: RunThrough) -> None:
    assert run_through(lambda message: message).status == 0


def test_a_hang_up(run_through: RunThrough) -> None:
    said = refusal(run_through(at_reply(Request.SET_VRING_ENABLE, hang_up)))
    assert "hung up at SET_VRING_ENABLE" in said


def test_silence(run_through: RunThrough) -> None:
    said = refusal(run_through(at_reply(Request.GET_CONFIG, lambda message: None)))
    assert "did not answer GET_CONFIG in time" in said


def test_a_request_that_is_refused(run_through: RunThrough) -> None:
    said = refusal(run_through(at_reply(Request.ADD_MEM_REG, lambda reply: reply.with_u64(22))))
    assert "refused ADD_MEM_REG (it answered 22)" in said


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


CAPACITY = 0  # its offset in struct virtio_blk_config (virtio 1.2, 5.2.4)


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
    "bits", [MEM_SLOTS, REPLY_ACK | MEM_SLOTS | MQ], ids=["no-MEM_SLOTS", "nothing-but-CONFIG"]
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
