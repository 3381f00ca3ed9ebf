# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a client sends, the back-end still serves. The sanitizers find more in these tests."""

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
from tests.backend.disk_requests import (
    BLK_OK,
    BLK_READ,
    SCSI_CONTROL,
    SCSI_REQUEST,
    UNTOUCHED,
    BlkRequest,
    ScsiRequest,
    blk,
    scsi,
)
from tests.backend.file_kinds import KINDS
from tests.backend.frontend import GUEST_BASE, BackendGoneError, Connection, Frontend

# The machine decides how long an example takes, and the server outlives each of them on purpose.
QUIET = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
MEMORY = 1 << 22


def start(**chosen: str | int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="backend-") as folder:
        path = f"{folder}/sock"
        fields: dict[str, object] = {"size_bytes": 1 << 20, **chosen}
        with BuiltinBackend(Settings(path, **fields)):  # type: ignore[arg-type]
            yield path


@pytest.fixture(scope="module")
def blk_path() -> Iterator[str]:
    yield from start()


@pytest.fixture(scope="module")
def scsi_path() -> Iterator[str]:
    yield from start(device="scsi", target_count=2, lun_count=2)


def assert_alive(path: str) -> None:
    with Frontend(path) as frontend:
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK


small = st.integers(0, 3)
numbers = st.one_of(
    small,
    st.sampled_from([2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)
payloads = st.one_of(
    st.binary(max_size=64),
    st.lists(numbers, max_size=8).map(lambda values: struct.pack(f"<{len(values)}Q", *values)),
    st.tuples(small, numbers).map(lambda pair: struct.pack("<II", pair[0], pair[1] & 0xFFFFFFFF)),
)
# A message carries up to two file descriptors.
kinds = st.lists(st.sampled_from(sorted(KINDS)), max_size=2)
messages = st.tuples(st.integers(0, 42), payloads, st.sampled_from([1, 9]), kinds)
Message = tuple[int, bytes, int, list[str]]


@given(st.lists(messages, max_size=12))
@QUIET
def test_any_messages(blk_path: str, sent: list[Message]) -> None:
    connection = Connection(blk_path)
    with contextlib.suppress(BackendGoneError), ExitStack() as stack:
        for request, payload, flags, fds in sent:
            connection.send(request, payload, [KINDS[kind](stack) for kind in fds], flags)
    connection.close()
    assert_alive(blk_path)


@given(st.binary(max_size=400))
@QUIET
def test_any_bytes(blk_path: str, sent: bytes) -> None:
    connection = Connection(blk_path)
    with contextlib.suppress(BackendGoneError):
        connection.send_raw(sent or b"\0")
    connection.close()
    assert_alive(blk_path)


@given(st.lists(messages, min_size=1, max_size=6))
@QUIET
def test_any_messages_to_a_running_device(blk_path: str, sent: list[Message]) -> None:
    with (
        Frontend(blk_path) as frontend,
        contextlib.suppress(BackendGoneError),
        ExitStack() as stack,
    ):
        queue = frontend.queues[0]
        for request, payload, flags, fds in sent:
            queue.offer(queue.add(BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain()))
            queue.publish()
            queue.kick()
            given = [KINDS[kind](stack) for kind in fds]
            frontend.connection.send(request, payload, given, flags)
    assert_alive(blk_path)


addresses = st.one_of(
    st.integers(GUEST_BASE, GUEST_BASE + MEMORY - 1),
    st.sampled_from([0, GUEST_BASE - 1, GUEST_BASE + MEMORY - 8, 2**64 - 4]),
)
sizes = st.one_of(
    st.sampled_from([0, 1, 8, 15, 16, 17, 512, 4096, 1 << 20, 2**32 - 1]), st.integers(0, 8192)
)
descriptors = st.tuples(addresses, sizes, st.integers(0, 7), st.integers(0, 17))


@given(
    st.lists(descriptors, min_size=1, max_size=16),
    st.lists(st.integers(0, 17), min_size=1, max_size=8),
    st.binary(min_size=64, max_size=256),
)
@example([(GUEST_BASE, 16, 1, 0)] * 16, [0] * 8, bytes(64))
@QUIET
def test_any_descriptors(
    blk_path: str, table: list[tuple[int, int, int, int]], heads: list[int], contents: bytes
) -> None:
    with Frontend(blk_path, size=16, indirect=True) as frontend:
        queue = frontend.queues[0]
        # What descriptors point at: requests and further tables, as it happens.
        start_of_data = frontend.memory.mark
        frontend.memory.map[start_of_data : start_of_data + len(contents)] = contents
        for index, entry in enumerate(table):
            queue.write_descriptor(queue.descriptors, index, *entry)
        for head in heads:
            queue.offer(head)
        queue.publish()
        queue.kick()
        queue.wait(len(heads), timeout_s=0.002)
        frontend.stop_queue(0)
    assert_alive(blk_path)


@given(
    st.integers(0, 16),
    numbers,
    st.integers(0, 64),
    st.integers(0, 4096),
    st.binary(max_size=64),
)
@QUIET
def test_any_blk_request(
    blk_path: str, kind: int, sector: int, out_bytes: int, in_bytes: int, contents: bytes
) -> None:
    with Frontend(blk_path) as frontend:
        done = blk(frontend, kind, sector, contents or bytes(out_bytes), in_bytes)
        assert done.status in (0, 1, 2)
        assert 1 <= done.used_bytes <= in_bytes + 1


known_opcodes = st.sampled_from(
    [
        *(0x00, 0x03, 0x08, 0x0A, 0x12, 0x1A, 0x1B, 0x25, 0x28, 0x2A, 0x35, 0x42, 0x5A, 0x88, 0x8A),
        *(0x91, 0x9E, 0xA0, 0xA8, 0xAA),
    ]
)
cdbs = st.one_of(
    st.binary(min_size=1, max_size=32),
    st.tuples(known_opcodes, st.binary(min_size=0, max_size=31)).map(
        lambda pair: bytes([pair[0]]) + pair[1]
    ),
)


@given(cdbs, st.binary(max_size=600), st.integers(0, 5000), small, small)
@QUIET
def test_any_cdb(
    scsi_path: str, cdb: bytes, out: bytes, in_bytes: int, target: int, lun: int
) -> None:
    with Frontend(scsi_path, queues=3) as frontend:
        scsi(frontend, bytes(6), target=target, lun=lun)
        done = scsi(frontend, cdb, out=out, in_bytes=in_bytes, target=target, lun=lun)
        assert done.response != UNTOUCHED
        assert done.status in (0, 2)
        assert (done.status == 2) == bool(done.sense)
        assert done.residual <= max(len(out), in_bytes)


@given(st.binary(max_size=120), st.lists(st.integers(1, 200), max_size=4), st.booleans())
@QUIET
def test_any_scsi_chain(scsi_path: str, out: bytes, ins: list[int], control: bool) -> None:
    """Headers cut short or spread out, and responses with too little room."""
    with Frontend(scsi_path, queues=3) as frontend:
        memory = frontend.memory
        chain = [memory.place(out[at : at + 7]) for at in range(0, len(out), 7)]
        chain += [memory.place(bytes(size), device_writes=True) for size in ins]
        if chain:
            frontend.queues[SCSI_CONTROL if control else SCSI_REQUEST].run(chain)
        probe = ScsiRequest(memory, bytes(6))
        frontend.queues[SCSI_REQUEST].run(probe.chain())
        assert probe.done(0).response == 0
