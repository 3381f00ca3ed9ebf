# SPDX-License-Identifier: GPL-2.0-or-later
"""Profiles: a front-end sees the behaviour of the imitated back-end."""

import struct

import pytest

from pyfio_virtio.errors import PyfioVirtioError
from tests.backend import frontend as fe
from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import (
    BLK_FLUSH,
    BLK_IOERR,
    BLK_OK,
    BLK_READ,
    BLK_WRITE,
    UNTOUCHED,
    BlkDone,
    BlkRequest,
    blk,
    scsi,
)
from tests.backend.frontend import Connection, Frontend

PROFILES = ["builtin", "spdk", "qemu", "rust-vmm", "minimal"]
PACKED = 1 << 34


@pytest.mark.parametrize("profile", PROFILES)
def test_an_orderly_front_end_is_served(backend: StartBuiltin, profile: str) -> None:
    with Frontend(backend(profile=profile).settings.socket_path) as frontend:
        assert blk(frontend, BLK_WRITE, 3, b"abcd" * 128).status == BLK_OK
        assert blk(frontend, BLK_READ, 3, in_bytes=512).data == b"abcd" * 128


@pytest.mark.parametrize("profile", PROFILES)
def test_an_orderly_front_end_is_served_by_scsi(backend: StartBuiltin, profile: str) -> None:
    started = backend(profile=profile, device="scsi")
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        for _ in range(2):
            done = scsi(frontend, bytes(6))
        assert (done.response, done.status) == (0, 0)


@pytest.mark.parametrize(
    ("profile", "virtio", "protocol"),
    [
        ("spdk", 0x55C007646 & ~PACKED, 0x11EBF),
        ("qemu", 0x175007E46, 0x8F2B),
        ("minimal", 1 << 32 | 1 << 9 | 1 << 6, 0),
    ],
)
def test_features_are_those_observed(
    backend: StartBuiltin, profile: str, virtio: int, protocol: int
) -> None:
    connection = Connection(backend(profile=profile).settings.socket_path)
    assert connection.ask_u64(fe.GET_FEATURES) == virtio
    assert connection.ask_u64(fe.GET_PROTOCOL_FEATURES) == protocol
    connection.close()


def test_spdk_scsi_features(backend: StartBuiltin) -> None:
    connection = Connection(backend(profile="spdk", device="scsi").settings.socket_path)
    assert connection.ask_u64(fe.GET_FEATURES) == 0x55C000007 & ~PACKED
    assert connection.ask_u64(fe.GET_PROTOCOL_FEATURES) == 0x11EBF & ~(1 << 9)
    connection.close()


def test_an_unknown_profile_is_refused(backend: StartBuiltin) -> None:
    with pytest.raises(PyfioVirtioError, match="profile 'x' is unknown"):
        backend(profile="x")


@pytest.mark.parametrize("profile", PROFILES)
def test_only_spdk_leaves_the_list_of_unmap_out_of_its_residual(
    backend: StartBuiltin, profile: str
) -> None:
    started = backend(profile=profile, device="scsi")
    parameters = struct.pack(">HH4xQI4x", 22, 16, 1, 2)
    cdb = struct.pack(">BB5xHB", 0x42, 0, len(parameters), 0)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, bytes(6))  # takes the unit attention, if there is one
        done = scsi(frontend, cdb, out=parameters)
    assert (done.response, done.status) == (0, 0)
    assert done.residual == (len(parameters) if profile == "spdk" else 0)


class TestSpdk:
    def test_null_storage_lacks_flush_and_discard(self, backend: StartBuiltin) -> None:
        started = backend(profile="spdk", storage="null")
        with Frontend(started.settings.socket_path) as frontend:
            assert not frontend.offered & (1 << 9 | 1 << 13)

    @pytest.mark.parametrize("request_number", [fe.GET_MAX_MEM_SLOTS, 99])
    def test_an_unknown_request_closes(self, backend: StartBuiltin, request_number: int) -> None:
        connection = Connection(backend(profile="spdk").settings.socket_path)
        connection.send(request_number, flags=1 | fe.NEED_REPLY)
        assert connection.is_closed_by_backend()
        connection.close()

    def test_a_kick_before_the_addresses_is_forgotten(self, backend: StartBuiltin) -> None:
        started = backend(profile="spdk")
        with Frontend(started.settings.socket_path, setup=False) as frontend:
            frontend.negotiate()
            frontend.share_memory()
            queue = frontend.queues[0]
            frontend.tell(fe.SET_VRING_KICK, struct.pack("<Q", 0), [queue.kick_fd])
            frontend.tell(fe.SET_VRING_NUM, struct.pack("<II", 0, queue.size))
            descriptors, used, avail = queue.addresses()
            address = struct.pack("<IIQQQQ", 0, 0, descriptors, used, avail, 0)
            frontend.tell(fe.SET_VRING_ADDR, address)
            frontend.tell(fe.SET_VRING_CALL, struct.pack("<Q", 0), [queue.call_fd])
            queue.offer(queue.add(BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain()))
            queue.publish()
            assert queue.wait(timeout_s=0.05) == []

    def test_enable_is_ignored(self, backend: StartBuiltin) -> None:
        started = backend(profile="spdk")
        with Frontend(started.settings.socket_path, enable=False) as frontend:
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
            frontend.tell(fe.SET_VRING_ENABLE, struct.pack("<II", 0, 0))
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK

    def test_the_offset_of_get_config_is_ignored(self, backend: StartBuiltin) -> None:
        with Frontend(backend(profile="spdk").settings.socket_path) as frontend:
            assert frontend.config(20, 8) == frontend.config(0, 8)

    def test_a_bad_chain_completes_with_its_status_untouched(self, backend: StartBuiltin) -> None:
        with Frontend(backend(profile="spdk").settings.socket_path) as frontend:
            request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
            chain = request.chain()
            chain[1] = fe.Buffer(1 << 30, 512, device_writes=True)
            _, used_bytes = frontend.queues[0].run(chain)
            assert (request.done(0).status, used_bytes) == (UNTOUCHED, 0)
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK

    def test_used_lengths_mean_nothing(self, backend: StartBuiltin) -> None:
        with Frontend(backend(profile="spdk").settings.socket_path) as frontend:
            failed = blk(frontend, BLK_READ, 1 << 40, in_bytes=4096)
            assert (failed.status, failed.used_bytes) == (BLK_IOERR, 4097)
            assert blk(frontend, BLK_FLUSH) == BlkDone(BLK_OK, 0, b"")

    def test_a_ninth_region_closes(self, backend: StartBuiltin) -> None:
        connection = Connection(backend(profile="spdk").settings.socket_path)
        connection.send(fe.SET_MEM_TABLE, struct.pack("<II", 9, 0) + bytes(256))
        assert connection.is_closed_by_backend()
        connection.close()


class TestQemu:
    def test_a_second_client_waits_for_the_first_to_go(self, backend: StartBuiltin) -> None:
        path = backend(profile="qemu").settings.socket_path
        first = Connection(path)
        first.ask_u64(fe.GET_FEATURES)
        second = Connection(path)
        second.send(fe.GET_FEATURES)
        second.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            second.receive()
        first.close()
        second.socket.settimeout(fe.TIMEOUT_S)
        assert second.receive()[0] == fe.GET_FEATURES
        second.close()

    def test_size_max_is_offered_and_nought(self, backend: StartBuiltin) -> None:
        with Frontend(backend(profile="qemu").settings.socket_path) as frontend:
            assert frontend.offered & 1 << 1
            assert struct.unpack_from("<I", frontend.config(), 8) == (0,)

    def test_no_memory_is_taken_without_that_of_a_ring_that_was_stopped(
        self, backend: StartBuiltin
    ) -> None:
        with Frontend(backend(profile="qemu").settings.socket_path) as frontend:
            connection = frontend.connection
            connection.ask(fe.GET_VRING_BASE, struct.pack("<II", 0, 0))
            other = struct.pack("<4Q", 1 << 40, frontend.memory.size, 1 << 40, 0)
            table = struct.pack("<II", 1, 0) + other
            connection.send(fe.SET_MEM_TABLE, table, [frontend.memory.fd])
            assert connection.is_closed_by_backend()

    def test_slots(self, backend: StartBuiltin) -> None:
        connection = Connection(backend(profile="qemu").settings.socket_path)
        assert connection.ask_u64(fe.GET_MAX_MEM_SLOTS) == 32
        connection.close()


@pytest.mark.parametrize("serve", ["poll", "event"])
def test_rust_vmm_loses_a_kick_that_comes_before_enable(backend: StartBuiltin, serve: str) -> None:
    started = backend(profile="rust-vmm", serve=serve)
    with Frontend(started.settings.socket_path, enable=False) as frontend:
        queue = frontend.queues[0]
        queue.offer(queue.add(BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain()))
        queue.publish()
        queue.kick()
        frontend.tell(fe.SET_VRING_ENABLE, struct.pack("<II", 0, 1))
        assert queue.wait(timeout_s=0.05) == []
        queue.kick()
        assert queue.wait()
