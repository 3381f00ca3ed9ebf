# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults on demand: each does what its name says, and only to the selected requests or messages."""

import contextlib
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfio_virtio.backends.builtin_engine import BuiltinBackend
from pyfio_virtio.errors import PyfioVirtioError
from tests.backend import frontend as fe
from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import (
    BLK_IOERR,
    BLK_OK,
    BLK_READ,
    BLK_WRITE,
    BlkRequest,
    blk,
    scsi,
)
from tests.backend.frontend import Connection, Frontend


def submit(frontend: Frontend, count: int = 1) -> list[int]:
    """Offers reads, and returns their heads."""
    queue = frontend.queues[0]
    heads = []
    for _ in range(count):
        request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
        heads.append(queue.add(request.chain()))
        queue.offer(heads[-1])
    queue.publish()
    queue.kick()
    return heads


def statuses(frontend: Frontend, count: int, sector: int = 0) -> list[int]:
    return [blk(frontend, BLK_READ, sector, in_bytes=512).status for _ in range(count)]


def serve(backend: StartBuiltin, fault: str) -> tuple[BuiltinBackend, Frontend]:
    started = backend(fault=fault)
    return started, Frontend(started.settings.socket_path)


class TestSelection:
    """Which requests a fault strikes."""

    @pytest.mark.parametrize(
        ("fault", "struck"),
        [
            ("error", [0, 1, 2, 3, 4, 5, 6, 7]),
            ("error:every=3", [2, 5]),
            ("error:after=2,every=2", [3, 5, 7]),
            ("error:after=5,count=1", [5]),
            ("error:type=write", []),
            ("error:sectors=1-100", []),
            ("error:sectors=0-0", [0, 1, 2, 3, 4, 5, 6, 7]),
        ],
    )
    def test_selects(self, backend: StartBuiltin, fault: str, struck: list[int]) -> None:
        started, frontend = serve(backend, fault)
        with frontend:
            found = statuses(frontend, 8)
        assert [n for n, status in enumerate(found) if status == BLK_IOERR] == struck
        assert started.statistics().get("fault_error", 0) == len(struck)

    def test_a_range_is_struck_where_a_request_touches_it(self, backend: StartBuiltin) -> None:
        _, frontend = serve(backend, "error:sectors=10-11")
        with frontend:
            assert blk(frontend, BLK_READ, 8, in_bytes=1024).status == BLK_OK
            assert blk(frontend, BLK_READ, 9, in_bytes=1024).status == BLK_IOERR
            assert blk(frontend, BLK_READ, 11, in_bytes=1024).status == BLK_IOERR
            assert blk(frontend, BLK_READ, 12, in_bytes=1024).status == BLK_OK

    @pytest.mark.parametrize(
        "words",
        [
            *("nonsense", "error:every", "error:every=0", "error:every=x", "error:what=1"),
            *("error:type=tea", "error:sectors=5", "shrink", "delay:for=fast", "error " * 40),
        ],
    )
    def test_words_that_mean_nothing_are_refused(self, backend: StartBuiltin, words: str) -> None:
        with pytest.raises(PyfioVirtioError):
            backend(fault=words)


def test_lose_never_completes(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "lose:count=1")
    with frontend:
        submit(frontend)
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
        assert frontend.queues[0].wait(timeout_s=0.05) == []


def test_delay_keeps_the_order(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "delay:for=2ms")
    with frontend:
        heads = submit(frontend, 16)
        assert [head for head, _ in frontend.queues[0].wait(16)] == heads


def test_reorder_does_not(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "reorder:for=2ms")
    with frontend:
        heads = submit(frontend, 16)
        done = [head for head, _ in frontend.queues[0].wait(16)]
        assert sorted(done) == sorted(heads)
        assert done != heads


def test_twice_completes_twice(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "twice:count=1")
    with frontend:
        (head,) = submit(frontend)
        assert frontend.queues[0].wait(2) == [(head, 513), (head, 513)]


def test_bad_id_is_beyond_the_ring(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "bad-id:count=1")
    with frontend:
        (head,) = submit(frontend)
        assert frontend.queues[0].wait() == [(head + 64, 513)]


def test_bad_length_is_beyond_reason(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "bad-length:count=1")
    with frontend:
        (head,) = submit(frontend)
        assert frontend.queues[0].wait() == [(head, 2**32 - 1)]


def test_used_jump_moves_the_index(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "used-jump:count=1,by=500")
    with frontend:
        submit(frontend)
        frontend.queues[0].wait()
        assert frontend.queues[0].used_index() == 501


def test_lost_call_completes_in_silence(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "lost-call:count=1")
    with frontend:
        submit(frontend)
        assert frontend.queues[0].wait()
        assert not frontend.queues[0].called(0.05)
        submit(frontend)
        assert frontend.queues[0].called()


def test_spurious_call_comes_unwanted(backend: StartBuiltin) -> None:
    _, frontend = serve(backend, "spurious-call:count=1")
    with frontend:
        frontend.memory.words[frontend.queues[0].avail // 2] = 1  # NO_INTERRUPT
        submit(frontend)
        assert frontend.queues[0].called()


def test_shrink_makes_the_disk_smaller(backend: StartBuiltin) -> None:
    started, frontend = serve(backend, "shrink:to=4KiB,after=2,count=1")
    with frontend:
        statuses(frontend, 3)
        while struct.unpack_from("<Q", frontend.config()) != (8,):
            pass
        assert blk(frontend, BLK_READ, 8, in_bytes=512).status == BLK_IOERR
    assert started.statistics()["fault_shrink"] == 1


def test_die_leaves_requests_undone(backend: StartBuiltin) -> None:
    started, frontend = serve(backend, "die:after=2")
    with frontend:
        statuses(frontend, 2)
        submit(frontend)
        assert frontend.connection.is_closed_by_backend()
        assert frontend.queues[0].wait(timeout_s=0) == []
    with pytest.raises(ConnectionRefusedError):
        Connection(started.settings.socket_path)


class TestMessages:
    """Faults on the socket."""

    @pytest.fixture
    def connection(
        self, backend: StartBuiltin, request: pytest.FixtureRequest
    ) -> Iterator[Connection]:
        opened = Connection(backend(fault=request.param).settings.socket_path)
        yield opened
        opened.close()

    @pytest.mark.parametrize("connection", ["wrong-reply:message=2"], indirect=True)
    def test_wrong_reply_names_another_request(self, connection: Connection) -> None:
        connection.ask_u64(fe.GET_FEATURES)
        connection.send(fe.GET_FEATURES)
        assert connection.receive()[0] == fe.GET_FEATURES + 1

    @pytest.mark.parametrize("connection", ["short-reply:request=1"], indirect=True)
    def test_short_reply_is_half_as_long(self, connection: Connection) -> None:
        connection.ask_u64(fe.GET_PROTOCOL_FEATURES)
        assert len(connection.ask(fe.GET_FEATURES)) == 4

    @pytest.mark.parametrize("connection", ["lose-reply:count=1"], indirect=True)
    def test_lose_reply_says_nothing(self, connection: Connection) -> None:
        connection.send(fe.GET_FEATURES)
        connection.send(fe.GET_PROTOCOL_FEATURES)
        assert connection.receive()[0] == fe.GET_PROTOCOL_FEATURES

    @pytest.mark.parametrize("connection", ["hang-up:message=3"], indirect=True)
    def test_hang_up_at_the_message_named(self, connection: Connection) -> None:
        connection.ask_u64(fe.GET_FEATURES)
        connection.ask_u64(fe.GET_FEATURES)
        connection.send(fe.GET_FEATURES)
        assert connection.is_closed_by_backend()


class TestControl:
    """Commands while it runs, in process and over the socket."""

    def test_faults_come_and_go(self, backend: StartBuiltin) -> None:
        started, frontend = serve(backend, "")
        with frontend:
            assert statuses(frontend, 2) == [BLK_OK] * 2
            started.command("fault error:type=read")
            assert statuses(frontend, 2) == [BLK_IOERR] * 2
            assert blk(frontend, BLK_WRITE, 0, bytes(512)).status == BLK_OK
            started.command("fault clear")
            assert statuses(frontend, 2) == [BLK_OK] * 2

    @pytest.mark.parametrize(
        "line",
        [
            *("", "nonsense", "fault x", "latency fast", "resize", "resize 0", "resize 1TiB"),
            *("resize 1k 7", "resize 511", "latency 3601s", "latency 1us,2us/3601s"),
            *("fault delay:for=18446744073s", "fault error:type=raed", "fault error:of=1"),
        ],
    )
    def test_a_line_that_means_nothing_is_refused(self, backend: StartBuiltin, line: str) -> None:
        with pytest.raises(PyfioVirtioError, match="refused"):
            backend().command(line)

    @pytest.mark.parametrize(
        "fault",
        [
            "error",
            "delay:for=5ms,type=read,sectors=8-15,after=2,every=3,count=4",
            "reorder:for=1ns",
            "used-jump:by=1000",
            "shrink:to=4096",
            "hang-up:message=3,request=1",
        ],
    )
    def test_faults_are_listed_in_words_that_can_be_given_again(
        self, backend: StartBuiltin, fault: str
    ) -> None:
        assert json.loads(backend(fault=fault).command("fault")) == [
            {"fault": fault, "matched": 0, "applied": 0}
        ]

    def test_the_list_counts(self, backend: StartBuiltin) -> None:
        started, frontend = serve(backend, "error:every=2 delay:for=1us")
        with frontend:
            statuses(frontend, 4)
        counts = [
            (each["matched"], each["applied"]) for each in json.loads(started.command("fault"))
        ]
        assert counts == [(4, 2), (4, 4)]

    def test_as_many_faults_as_there_can_be_are_listed(self, backend: StartBuiltin) -> None:
        most = 2**64 - 1
        keys = ",".join(f"{key}={most}" for key in ("message", "request", "after", "every"))
        fault = f"controller-busy:type=write-zeroes,sectors={most - 1}-{most - 1},{keys},count=1"
        started = backend(device="scsi", fault=" ".join([fault] * 32))
        assert [each["fault"] for each in json.loads(started.command("fault"))] == [fault] * 32

    @pytest.mark.parametrize("words", ["20us", "10us,100us/1s"])
    def test_the_latency_is_shown_as_it_was_set(self, backend: StartBuiltin, words: str) -> None:
        started = backend(latency=words)
        assert started.command("latency") == words
        started.command("latency 0")
        assert started.command("latency") == "none"

    def test_the_size_keeps_whole_blocks(self, backend: StartBuiltin) -> None:
        started = backend()
        answer = json.loads(started.command("resize 1000"))
        assert answer == {"bytes": 512, "clients": 0, "told": 0}
        assert started.statistics()["disk_bytes"] == [512]

    def test_a_client_without_a_socket_for_it_is_not_told(self, backend: StartBuiltin) -> None:
        started, frontend = serve(backend, "")
        with frontend:
            assert json.loads(started.command("resize 512"))["told"] == 0

    def test_the_socket_takes_the_same_words(self, backend: StartBuiltin, tmp_path: Path) -> None:
        control = str(tmp_path / "control")
        started = backend(control_path=control)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(fe.TIMEOUT_S)
            client.connect(control)
            client.sendall(b"fault error\nlaten")
            answers = client.makefile("r")
            assert answers.readline() == "ok\n"
            client.sendall(b"cy none\nwhat\n")
            assert answers.readline() == "ok\n"
            assert answers.readline().startswith("error: ")
            with Frontend(started.settings.socket_path) as frontend:
                assert statuses(frontend, 1) == [BLK_IOERR]
            client.sendall(b"stats\n")
            assert '"fault_error": 1' in answers.readline()
            answers.close()

    def test_a_line_without_end_is_not_waited_for(
        self, backend: StartBuiltin, tmp_path: Path
    ) -> None:
        control = str(tmp_path / "control")
        backend(control_path=control)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(fe.TIMEOUT_S)
            client.connect(control)
            client.sendall(b"x" * 600)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""


# ---- answers of virtio-scsi ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "response", "status", "key"),
    [
        ("error", 0, 2, 3),
        ("busy", 0, 8, 0),
        ("task-set-full", 0, 0x28, 0),
        ("controller-busy", 5, 0, 0),
        ("recovered", 0, 2, 1),
    ],
)
def test_a_scsi_command_gets_the_answer(
    backend: StartBuiltin, fault: str, response: int, status: int, key: int
) -> None:
    started = backend(device="scsi", fault=f"{fault}:type=write")
    data = b"\x55" * 512
    write = bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    read = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, read, in_bytes=512)  # is told of the unit attention
        answer = scsi(frontend, write, out=data)
        assert (answer.response, answer.status) == (response, status)
        assert (answer.sense[2] & 0xF if status == 2 else 0) == key
        was_carried_out = fault == "recovered"
        assert scsi(frontend, read, in_bytes=512).data == (data if was_carried_out else bytes(512))
    assert started.statistics()[f"fault_{fault}"] == 1


@pytest.mark.parametrize("fault", ["busy", "task-set-full", "controller-busy", "recovered"])
def test_virtio_blk_has_no_such_answer(backend: StartBuiltin, fault: str) -> None:
    with pytest.raises(PyfioVirtioError, match="blk has no such answer"):
        backend(fault=fault)
