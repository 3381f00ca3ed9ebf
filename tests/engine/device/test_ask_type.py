# SPDX-License-Identifier: GPL-2.0-or-later
"""What a back-end serves, if neither its features nor its configuration show it: ask_type.c.

A scripted back-end serves one of its rings, as virtio-blk or virtio-scsi, or none.
"""

import errno
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.engine.blk_backend import (
    CONFIG,
    DISCARD,
    MEM_SLOTS,
    MQ,
    PROTOCOL,
    PROTOCOL_FEATURES,
    REPLY_ACK,
    STATUS,
    VERSION_1,
    BlkBackend,
    BlkConfig,
    describe,
    open_device,
)
from tests.engine.ring_device import DESC_WRITE, RingDevice
from tests.engine.scripted_backend import Connection, Message, ScriptedBackend
from tests.engine.scsi_backend import (
    INQUIRY,
    READ_CAPACITY_16,
    Command,
    Reply,
    ScsiBackend,
    capacity_16,
    fixed_sense,
    inquiry,
    memory,
    refused,
)
from tests.engine.shared_object import CData, lib, sentence
from tests.open_descriptors import descriptors
from tests.vhost_numbers import Request

BARE = PROTOCOL_FEATURES | VERSION_1
NO_CONFIG = PROTOCOL & ~CONFIG
TEST_UNIT_READY = (0, 0)
DISK: dict[Command, bytes | Reply] = {
    (INQUIRY, 0): inquiry(),
    (READ_CAPACITY_16, 0): capacity_16(1023, 512),
    TEST_UNIT_READY: Reply(),
}
CONTROL, REQUESTS = 0, 2


@dataclass
class BlkRing(ScsiBackend):
    """Serves queue 0 as virtio-blk: answers with `answer`, or leaves it as it is (None)."""

    ring: int = CONTROL
    answer: int | None = 0
    is_read_only: bool = True  # no request came that would write

    def _answer_command(self, device: RingDevice, head: int) -> None:
        first, *_, last = device.chain(head)
        type_ = int.from_bytes(memory(first.address, 4), "little")
        self.is_read_only &= type_ in (0, 8)
        assert last.flags & DESC_WRITE
        if self.answer is not None:
            memory(last.address, 1)[0] = self.answer


@contextmanager
def opened(folder: Path, backend: BlkBackend, **config: object) -> Iterator[tuple[int, CData]]:
    before = descriptors()
    chosen: dict[str, object] = {"type": lib.DEVICE_AUTO, "connect_timeout_ms": 900}
    with ScriptedBackend(folder / "disk.sock", backend) as served:
        code, device = open_device(served.path, **{**chosen, **config})
        try:
            yield code, device
        finally:
            if code == 0:
                lib.device_close(device)
            if isinstance(backend, ScsiBackend):
                backend.stop()
    assert descriptors() == before


def found(folder: Path, backend: BlkBackend, **config: object) -> int:
    """The type that was found out."""
    with opened(folder, backend, **config) as (code, device):
        assert code == 0, sentence()
        return int(describe(device).type)


PROTOCOLS = [
    NO_CONFIG,
    NO_CONFIG & ~MEM_SLOTS,
    NO_CONFIG & ~REPLY_ACK,
    NO_CONFIG & ~STATUS,
    NO_CONFIG & ~MEM_SLOTS & ~REPLY_ACK & ~STATUS,
]
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=hex)


@every_protocol
@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_status_of_virtio_blk_shows_it(private: Path, protocol: int, status: int) -> None:
    backend = BlkRing(features=BARE, protocol=protocol, queue_num=3, answer=status)
    assert found(private, backend) == lib.DEVICE_BLK
    assert backend.is_read_only
    # libvhost-user does not take further regions without those of former rings.
    assert Request.REM_MEM_REG not in backend.requests


@every_protocol
@pytest.mark.parametrize(
    "answer",
    [
        Reply(),
        Reply(status=0x18),
        Reply(response=3),
        Reply(response=9),
        refused(fixed_sense(2, 0x3A)),
        refused(fixed_sense(6, 0x29)),
    ],
    ids=["good", "reserved", "no target", "failure", "no medium", "attention"],
)
def test_any_answer_to_test_unit_ready_shows_virtio_scsi(
    private: Path, protocol: int, answer: Reply
) -> None:
    """Its control queue does not answer at all."""
    backend = ScsiBackend(
        features=BARE, protocol=protocol, answers={**DISK, TEST_UNIT_READY: answer}
    )
    assert found(private, backend) == lib.DEVICE_SCSI
    assert set(backend.commands) == {TEST_UNIT_READY}


def test_the_device_starts_after_it_was_asked(private: Path) -> None:
    backend = ScsiBackend(features=BARE, protocol=NO_CONFIG, answers=DISK)
    chosen = {"memory_bytes": 5 << 20, "scsi_address_set": True}
    with opened(private, backend, **chosen) as (code, device):
        assert code == 0
        assert lib.device_start(device) == 0, sentence()
        assert describe(device).capacity_bytes == 1 << 19


@pytest.mark.parametrize("protocol", [NO_CONFIG & ~MEM_SLOTS, NO_CONFIG])
def test_memory_is_planned_in_spite_of_the_questions(private: Path, protocol: int) -> None:
    backend = BlkRing(features=BARE, protocol=protocol, queue_num=3)
    with opened(private, backend, memory_bytes=5 << 20) as (code, device):
        assert code == 0
        assert lib.device_start(device) == 0, sentence()
        assert [size for _, size in backend.known if size >= 5 << 20]
        assert len(backend.known) == (2 if protocol & MEM_SLOTS else 1)


@pytest.mark.parametrize("queues", [1, 2])
def test_a_device_of_fewer_than_three_queues_is_no_virtio_scsi(private: Path, queues: int) -> None:
    backend = BlkBackend(features=BARE, protocol=NO_CONFIG, queue_num=queues)
    assert found(private, backend) == lib.DEVICE_BLK
    assert Request.SET_VRING_NUM not in backend.requests


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (BlkBackend(features=BARE, protocol=NO_CONFIG, queue_num=3), "silent"),
        (BlkBackend(features=BARE, protocol=NO_CONFIG & ~MQ), "silent, and does not tell queues"),
        (BlkRing(features=BARE, protocol=NO_CONFIG, queue_num=3, answer=None), "no status"),
        (BlkRing(features=BARE, protocol=NO_CONFIG, queue_num=3, answer=77), "no known status"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_answers_do_not_show_the_user_must_say(
    private: Path, backend: BlkBackend, words: str
) -> None:
    with opened(private, backend) as (code, _):
        assert code == -errno.EINVAL, words
        assert "choose device=blk or device=scsi" in sentence()
    if not backend.protocol & MQ:
        # Some back-ends end when they are asked about a queue that they do not have.
        assert {m.state[0] for m in backend.all_of(Request.SET_VRING_NUM)} == {0}


class NoSecondQueue(BlkRing):
    """Refuses all queues but the first."""

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        is_other = request == Request.SET_VRING_NUM and message.state[0] > 0
        self.refuse = Request.SET_VRING_NUM if is_other else None
        super()._serve(connection, request, message)


def test_a_queue_that_is_refused_is_not_virtio_scsi(private: Path) -> None:
    backend = NoSecondQueue(features=BARE, protocol=NO_CONFIG, queue_num=3, answer=None)
    with opened(private, backend) as (code, _):
        assert code == -errno.EINVAL
        assert "choose device=blk or device=scsi" in sentence()


def test_a_hang_up_ends_the_questions(private: Path) -> None:
    backend = BlkBackend(
        features=BARE, protocol=NO_CONFIG, queue_num=3, hang_up_at=Request.SET_VRING_KICK
    )
    with opened(private, backend) as (code, _):
        assert code == -errno.ECONNRESET
        assert "hung up at SET_VRING_KICK" in sentence()


def test_questions_end_with_the_time_to_connect(private: Path) -> None:
    """Each of them takes a part of it, so that device_open() has some left to end in."""
    backend = BlkBackend(features=BARE, protocol=NO_CONFIG, queue_num=3)
    with opened(private, backend, connect_timeout_ms=300) as (code, _):
        assert code == -errno.EINVAL


@pytest.mark.parametrize("type_", [lib.DEVICE_BLK, lib.DEVICE_SCSI])
def test_a_chosen_type_is_not_asked_for(private: Path, type_: int) -> None:
    backend = BlkBackend(features=BARE, protocol=NO_CONFIG, queue_num=3)
    assert found(private, backend, type=type_) == type_
    assert Request.SET_VRING_NUM not in backend.requests


@pytest.mark.parametrize(
    ("features", "protocol", "config", "expected"),
    [
        (BARE | DISCARD, NO_CONFIG, BlkConfig(), lib.DEVICE_BLK),
        (BARE | 1, NO_CONFIG, BlkConfig(), lib.DEVICE_SCSI),
        (BARE, PROTOCOL, BlkConfig(), lib.DEVICE_BLK),
    ],
)
def test_features_and_a_configuration_are_enough(
    private: Path, features: int, protocol: int, config: BlkConfig, expected: int
) -> None:
    backend = BlkBackend(features=features, protocol=protocol, config=config, queue_num=3)
    assert found(private, backend) == expected
    assert Request.SET_VRING_NUM not in backend.requests


# In virtio-blk they mean limits of segments, in virtio-scsi events.
SHARED_BITS = [1 << 1, 1 << 2, 1 << 1 | 1 << 2]


@pytest.mark.parametrize("bits", SHARED_BITS)
def test_bits_that_both_types_have_do_not_show_virtio_scsi(private: Path, bits: int) -> None:
    backend = BlkRing(features=BARE | bits, protocol=NO_CONFIG, queue_num=3)
    assert found(private, backend) == lib.DEVICE_BLK


@pytest.mark.parametrize("bits", SHARED_BITS)
def test_bits_that_both_types_have_do_not_show_virtio_blk(private: Path, bits: int) -> None:
    backend = ScsiBackend(features=BARE | bits, protocol=NO_CONFIG, answers=DISK)
    assert found(private, backend) == lib.DEVICE_SCSI


@dataclass
class Remapping(ScsiBackend):
    """Looks up the rings that it was told of, as libvhost-user does, when it gets a region."""

    rings: dict[int, int] = field(default_factory=dict)

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        if request == Request.SET_VRING_ADDR:
            self.rings[message.payload[0]] = struct.unpack_from("=Q", message.payload, 8)[0]
        super()._serve(connection, request, message)
        if request == Request.ADD_MEM_REG:
            for address in self.rings.values():
                assert any(start <= address < start + size for start, size in self.known)


def test_memory_of_former_rings_stays_known(private: Path) -> None:
    backend = Remapping(features=BARE, protocol=NO_CONFIG, answers=DISK)
    with opened(private, backend, memory_bytes=5 << 20, scsi_address_set=True) as (code, device):
        assert code == 0
        assert lib.device_start(device) == 0, sentence()
    assert len(backend.rings) == 3


class Zeroes(BlkConfig):
    def pack(self) -> bytes:
        return bytes(60)


def test_a_configuration_of_zeroes_shows_nothing(private: Path) -> None:
    backend = ScsiBackend(features=BARE, protocol=PROTOCOL, config=Zeroes(), answers=DISK)
    assert found(private, backend) == lib.DEVICE_SCSI
