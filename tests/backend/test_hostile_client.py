# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever one client does, another client is served, and SIGTERM ends the back-end.

The table in tests/backend/lies has each message and each shared field.

Each test runs the back-end as a process with one worker, so that a wait in it delays all clients.
The neighbour is a client that breaks no rule.
"""

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backend import frontend as fe
from tests.backend import fuse
from tests.backend.conftest import Start
from tests.backend.disk_requests import BLK_OK, BLK_READ, BlkRequest, blk
from tests.backend.file_kinds import FULL, KINDS, fill, make_blocking
from tests.backend.frontend import TIMEOUT_S, BackendGoneError, Connection, Frontend
from tests.backend.lies.messages import PAYLOADS, TAKES
from tests.waiting import wait_until

SERVE = ("poll", "event", "adaptive")


@dataclass
class Served:
    """A back-end with its neighbour, and the stack of what ends with the test."""

    process: subprocess.Popen[str]
    path: str
    control: str
    folder: Path
    neighbour: Frontend
    stack: ExitStack

    def client(self, **options: object) -> Frontend:
        return self.stack.enter_context(Frontend(self.path, **options))  # type: ignore[arg-type]

    def connection(self) -> Connection:
        connection = Connection(self.path)
        self.stack.callback(connection.close)
        return connection

    def check_neighbour(self) -> None:
        for _ in range(3):
            assert blk(self.neighbour, BLK_READ, 0, in_bytes=4096).status == BLK_OK

    def stats(self) -> dict[str, int]:
        loaded: dict[str, int] = json.loads(self.command("stats"))
        return loaded

    def end(self) -> None:
        """Whatever goes on meanwhile."""
        if self.process.poll() is None:
            self.check_neighbour()
            self.process.send_signal(signal.SIGTERM)
        # Nobody reads what it has to say until it has ended.
        assert self.process.wait(TIMEOUT_S) == 0

    def command(self, line: str) -> str:
        with fe.connect(self.control) as control:
            control.sendall(line.encode() + b"\n")
            return control.makefile().readline()


StartServed = Callable[..., Served]


@pytest.fixture
def serve(start: Start, path: str, short_folder: Path) -> Iterator[StartServed]:
    """Starts a back-end with a neighbour; when the test is over, both are still well."""
    with ExitStack() as stack:
        started: list[Served] = []

        def run(*options: str, prefix: Sequence[str] = ()) -> Served:
            control = str(short_folder / "control.sock")
            process = start("--size", "1M", "--control", control, *options, prefix=prefix)
            neighbour = stack.enter_context(Frontend(path))
            started.append(Served(process, path, control, short_folder, neighbour, stack))
            started[0].check_neighbour()
            return started[0]

        yield run
        for served in started:
            served.end()


def offer(frontend: Frontend, count: int = 1) -> None:
    queue = frontend.queues[0]
    for _ in range(count):
        request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
        queue.offer(queue.add(request.chain()))
    queue.publish()
    queue.kick()


def break_ring(frontend: Frontend) -> None:
    queue = frontend.queues[0]
    queue.offer(queue.size)
    queue.publish()
    queue.kick()


# ---- eventfds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", SERVE)
def test_a_full_call_eventfd_holds_up_nobody(serve: StartServed, mode: str) -> None:
    served = serve("--serve", mode)
    client = served.client()
    fill(client.queues[0].call_fd)
    offer(client)
    assert client.queues[0].wait()
    assert select.select([client.queues[0].err_fd], [], [], TIMEOUT_S)[0]
    served.end()
    assert served.process.stderr is not None
    assert "its call eventfd makes us wait" in served.process.stderr.read()


def test_a_full_call_eventfd_of_requests_that_are_late_holds_up_nobody(serve: StartServed) -> None:
    """Their calls are made by the control thread when the ring stops."""
    served = serve("--fault", "delay:for=3600s,count=100,after=3")
    client = served.client()
    fill(client.queues[0].call_fd)
    offer(client)
    client.stop_queue(0)
    served.command("fault clear")


def test_a_full_call_eventfd_of_the_event_queue_holds_up_nobody(
    start: Start, path: str, short_folder: Path
) -> None:
    """SCSI tells of a new size by way of the event queue."""
    control = str(short_folder / "control.sock")
    process = start("--device", "scsi", "--size", "1M", "--control", control)
    with Frontend(path, queues=3) as client, fe.connect(control) as words:
        queue = client.queues[1]
        queue.offer(queue.add([client.memory.place(bytes(16), device_writes=True)]))
        queue.publish()
        fill(queue.call_fd)
        words.sendall(b"resize 512K\n")
        assert words.makefile().readline().startswith('{"bytes": 524288, ')
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0


def test_a_full_err_eventfd_holds_up_nobody(serve: StartServed) -> None:
    client = serve().client()
    fill(client.queues[0].err_fd)
    break_ring(client)


def test_a_kick_eventfd_that_waits_for_kicks_holds_up_nobody(serve: StartServed) -> None:
    """A back-end that loses early kicks reads them, from a counter that the client empties."""
    client = serve("--profile", "rust-vmm", "--serve", "poll").client()
    make_blocking(client.queues[0].kick_fd)


def test_an_eventfd_that_changes_all_the_time_holds_up_nobody(serve: StartServed) -> None:
    served = serve("--serve", "event")
    client = served.client()
    queue = client.queues[0]
    over = threading.Event()

    def change() -> None:
        flags = fcntl.fcntl(queue.call_fd, fcntl.F_GETFL)
        while not over.is_set():
            fcntl.fcntl(queue.call_fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(queue.call_fd)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(queue.call_fd, FULL)
            fcntl.fcntl(queue.call_fd, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(500):
            mark = client.memory.mark
            offer(client)
            if not queue.wait(timeout_s=1):
                break  # it was caught
            client.memory.rewind(mark)
        served.check_neighbour()
    finally:
        over.set()
        thread.join()


# ---- file descriptors of other kinds -------------------------------------------------------------


@pytest.mark.parametrize("name", TAKES)
@pytest.mark.parametrize("answered", [{fuse.FLUSH, fuse.RELEASE}, set()])
def test_a_file_whose_server_is_silent_holds_up_nobody(
    serve: StartServed, name: str, answered: set[int]
) -> None:
    """The kernel does not let a process end before such a server has answered, or is gone."""
    served = serve()
    client = served.client()
    try:
        with fuse.stubborn_file(served.folder / "fuse", answered) as fd:
            request, _ = TAKES[name]
            client.tell(request, PAYLOADS.get(request, bytes(8)), [fd])
            served.check_neighbour()
    except fuse.NoFuseError as error:
        pytest.skip(f"no FUSE here: {error}")


# ---- messages ------------------------------------------------------------------------------------


def header(request: int, size: int, flags: int = 1) -> bytes:
    return struct.pack("<III", request, flags, size)


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("changes", [True, False])
def test_a_flood_of_messages_holds_up_nobody(
    serve: StartServed, reads: bool, changes: bool
) -> None:
    served = serve("--serve", "event")
    client = served.client()
    over = threading.Event()
    enable = header(fe.SET_VRING_ENABLE, 8, 9) + struct.pack("<II", 0, 1)
    burst = (enable if changes else header(fe.GET_FEATURES, 0)) * 100
    client.connection.socket.settimeout(1)

    def read() -> None:
        with contextlib.suppress(OSError):
            while not over.is_set() and client.connection.socket.recv(1 << 16):
                pass

    def flood() -> None:
        with contextlib.suppress(OSError, BackendGoneError):
            while not over.is_set():
                client.connection.send_raw(burst)

    threads = [threading.Thread(target=flood)] + [threading.Thread(target=read)] * reads
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            served.check_neighbour()
        served.client()
        served.end()
    finally:
        over.set()
        for thread in threads:
            thread.join()


# ---- numbers -------------------------------------------------------------------------------------


@pytest.fixture
def many_files() -> Iterator[None]:
    """The test may open more files than is usual."""
    ours, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (ours, hard))


def connect_and_say_nothing(served: Served, path: str, stack: ExitStack) -> None:
    for _ in range(1000):
        silent = stack.enter_context(socket.socket(socket.AF_UNIX))
        silent.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            silent.connect(path)


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("files", [64, 1024, 4096])
def test_silent_clients_do_not_keep_others_away(serve: StartServed, files: int) -> None:
    served = serve(prefix=("prlimit", f"--nofile={files}"))
    connect_and_say_nothing(served, served.path, served.stack)
    assert blk(served.client(), BLK_READ, 0, in_bytes=512).status == BLK_OK


@pytest.mark.usefixtures("many_files")
def test_silent_clients_do_not_keep_others_from_commands(serve: StartServed) -> None:
    served = serve()
    connect_and_say_nothing(served, served.control, served.stack)
    assert served.stats()["reads"] == 3


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("which", ["path", "control"])
def test_without_file_descriptors_it_waits_for_some(serve: StartServed, which: str) -> None:
    """It does not ask again and again for a client that it cannot accept."""
    served = serve("--serve", "event")
    in_use = len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (in_use, 4096))
    with ExitStack() as silent:
        connect_and_say_nothing(served, getattr(served, which), silent)
        served.check_neighbour()
        before = cpu_seconds(served.process)
        time.sleep(1)
        assert cpu_seconds(served.process) - before < 0.5
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (1024, 4096))
        assert served.stats()["reads"] == 6
    served.client()


# ---- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [b"sta", b"stats\n" * 4000, b"x" * 4000, b"\n" * 4000, b"\0\n"])
def test_a_client_that_reads_no_answers_holds_up_nobody(serve: StartServed, words: bytes) -> None:
    served = serve()
    for _ in range(3):
        silent = served.stack.enter_context(socket.socket(socket.AF_UNIX))
        silent.connect(served.control)
        silent.setblocking(False)
        with contextlib.suppress(OSError):
            silent.sendall(words)
    assert served.stats()["reads"] == 3


# ---- the log -------------------------------------------------------------------------------------


def test_a_log_that_nobody_reads_holds_up_nobody(serve: StartServed) -> None:
    """stderr is a pipe, and every message a line."""
    served = serve()
    with Frontend(served.path) as client:
        for _ in range(5000):
            assert client.tell(fe.SET_VRING_NUM, struct.pack("<II", 9999, 3)) != 0


def test_a_client_does_not_fill_the_log(serve: StartServed) -> None:
    served = serve()
    with Frontend(served.path) as client:
        for _ in range(2000):
            client.tell(fe.SET_VRING_NUM, struct.pack("<II", 9999, 3))
    time.sleep(1.1)  # a second later there is room again
    with Frontend(served.path) as client:
        client.tell(fe.SET_VRING_NUM, struct.pack("<II", 9999, 3))
    served.end()
    assert served.process.stderr is not None
    lines = served.process.stderr.read().splitlines()
    assert "client 3: request 8: ring 9999 does not exist: there are 1 rings" in lines
    assert "client 4: request 8: ring 9999 does not exist: there are 1 rings" in lines
    assert any(line.endswith("log lines were dropped") for line in lines)
    assert len(lines) < 1000


# ---- rings ---------------------------------------------------------------------------------------


def rounds_of_a_second(served: Served) -> int:
    """How often the worker looks at its rings in a second."""
    before = served.stats()["polls"]
    time.sleep(1)
    return served.stats()["polls"] - before


@pytest.mark.parametrize("mode", ["event", "adaptive"])
def test_a_broken_ring_with_late_requests_lets_its_worker_sleep(
    serve: StartServed, mode: str
) -> None:
    served = serve("--serve", mode, "--fault", "delay:for=200ms,after=3,count=1")
    client = served.client()
    offer(client)
    wait_until(lambda: "fault_delay" in served.stats())
    break_ring(client)
    assert select.select([client.queues[0].err_fd], [], [], TIMEOUT_S)[0]
    time.sleep(0.3)  # the late one comes due
    assert rounds_of_a_second(served) < 20000


@pytest.mark.parametrize("mode", ["event", "adaptive"])
def test_a_broken_ring_without_a_kick_eventfd_lets_its_worker_sleep(
    serve: StartServed, mode: str
) -> None:
    served = serve("--serve", mode)
    client = served.client()
    client.tell(fe.SET_VRING_KICK, struct.pack("<Q", 1 << 8))
    break_ring(client)
    assert select.select([client.queues[0].err_fd], [], [], TIMEOUT_S)[0]
    assert rounds_of_a_second(served) < 20000


def test_a_broken_ring_alone_lets_a_polling_worker_sleep(start: Start, path: str) -> None:
    process = start("--serve", "poll", "--size", "1M")
    with Frontend(path) as client:
        break_ring(client)
        assert select.select([client.queues[0].err_fd], [], [], TIMEOUT_S)[0]
        before = cpu_seconds(process)
        time.sleep(1)
        assert cpu_seconds(process) - before < 0.5


def test_a_broken_ring_can_be_started_again(serve: StartServed) -> None:
    client = serve().client()
    break_ring(client)
    assert select.select([client.queues[0].err_fd], [], [], TIMEOUT_S)[0]
    client.stop_queue(0)
    queue = fe.Queue(client.memory, 64)
    client.queues.append(queue)
    client.queues[0], client.queues[1] = queue, client.queues[0]
    client.start_queue(0)
    assert blk(client, BLK_READ, 0, in_bytes=512).status == BLK_OK


@pytest.mark.parametrize("late", [False, True])
def test_a_ring_full_of_large_requests_gives_others_their_turn(
    serve: StartServed, late: bool
) -> None:
    """A gigabyte for each of 64 requests: together they would take many seconds."""
    options = ("--fault", "delay:for=1ns") if late else ()
    served = serve("--size", "64M", *options)
    client = served.client(memory=fe.Memory(1 << 27))
    queue, space = client.queues[0], client.memory
    header = space.place(struct.pack("<IIQ", BLK_READ, 0, 0))
    status = space.place(b"\xa5", device_writes=True)
    data = fe.Buffer(space.take(64 << 20, 4096), 64 << 20, device_writes=True)
    heads = queue.size // 4  # chains of three, and the descriptors are used in turn
    chains = [queue.add([header, data, status]) for _ in range(heads)]
    for head in chains:
        queue.offer(head)
    queue.publish()
    queue.kick()
    served.check_neighbour()
    assert (queue.used_index() - queue.seen_index) & 0xFFFF < heads
    assert len(queue.wait(heads)) == heads


# ---- systems that lack something -----------------------------------------------------------------


HIDE_PROC = (
    *("unshare", "--map-root-user", "--mount"),
    *("sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"),
)
# The sanitizer finds its options there.
NEEDS_PROC = "/libasan." in os.environ.get("LD_PRELOAD", "")


@pytest.mark.skipif(NEEDS_PROC, reason="the address sanitizer needs /proc")
def test_without_proc_it_serves(serve: StartServed) -> None:
    # Root can always do so, but some systems let no other user have namespaces.
    if os.geteuid() != 0 and subprocess.run([*HIDE_PROC, "true"], check=False).returncode:
        pytest.skip("only root can hide /proc here")
    served = serve(prefix=HIDE_PROC)
    with ExitStack() as mine:
        client = served.client()
        fd = KINDS["full pipe"](mine)
        assert client.tell(fe.SET_VRING_CALL, bytes(8), [fd]) != 0
        fd = KINDS["epoll"](mine)
        client.tell(fe.SET_VRING_CALL, bytes(8), [fd])
        offer(client)
        assert client.queues[0].wait()
