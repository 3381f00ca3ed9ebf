# SPDX-License-Identifier: GPL-2.0-or-later
"""The back-end as a process: its options, sockets, signals and statistics."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend.conftest import Start, StartBuiltin, is_served, wait_until_served
from tests.backend.disk_requests import BLK_OK, BLK_READ, BLK_WRITE, blk
from tests.backend.frontend import TIMEOUT_S, Frontend
from tests.waiting import wait_until

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_nothing_but_statistics(
    start: Start, path: str, short_folder: Path, number: signal.Signals
) -> None:
    stats = short_folder / "stats.json"
    control = short_folder / "control.sock"
    process = start("--size", "1M", "--stats-file", str(stats), "--control", str(control))
    with Frontend(path) as frontend:
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == 0
    counted = json.loads(stats.read_text())
    assert (counted["reads"], counted["bytes_read"], counted["device"]) == (1, 512, "blk")
    assert list(short_folder.iterdir()) == [stats]


# ---- a limited number of clients -----------------------------------------------------------------


def read_once(frontend: Frontend) -> int:
    return blk(frontend, BLK_READ, 0, in_bytes=512).status


def test_it_ends_when_the_last_client_has_left(start: Start, path: str, short_folder: Path) -> None:
    stats = short_folder / "stats.json"
    process = start("--size", "1M", "--clients", "2", "--stats-file", str(stats))
    for _ in range(2):
        assert process.poll() is None
        with Frontend(path) as frontend:
            assert read_once(frontend) == BLK_OK
    assert process.wait(TIMEOUT_S) == 0
    assert json.loads(stats.read_text())["reads"] == 2
    assert list(short_folder.iterdir()) == [stats]


def test_it_ends_after_clients_that_came_together(start: Start, path: str) -> None:
    process = start("--size", "1M", "--clients", "2")
    with Frontend(path) as first:
        with Frontend(path) as second:
            assert (read_once(first), read_once(second)) == (BLK_OK, BLK_OK)
        assert read_once(first) == BLK_OK
        assert process.poll() is None
    assert process.wait(TIMEOUT_S) == 0


def test_no_more_clients_are_taken_than_were_asked_for(start: Start, path: str) -> None:
    start("--size", "1M", "--clients", "1")
    with Frontend(path) as frontend:
        assert read_once(frontend) == BLK_OK
        assert not is_served(path)
        assert not Path(path).exists()


def test_who_speaks_too_late_is_one_client_too_many(start: Start, path: str) -> None:
    start("--size", "1M", "--clients", "1")
    with socket.socket(socket.AF_UNIX) as late:
        late.connect(path)
        late.settimeout(TIMEOUT_S)
        with Frontend(path) as frontend:
            assert read_once(frontend) == BLK_OK
            late.sendall(struct.pack("<III", 1, 1, 0))  # VHOST_USER_GET_FEATURES
            assert late.recv(64) == b""
            assert read_once(frontend) == BLK_OK


def test_who_says_nothing_is_no_client(start: Start, path: str) -> None:
    process = start("--size", "1M", "--clients", "1")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(path)
        assert is_served(path)
        with Frontend(path) as frontend:
            assert read_once(frontend) == BLK_OK
        # The silent one does not keep it either.
        assert process.wait(TIMEOUT_S) == 0


def test_all_options_are_taken(start: Start, path: str, short_folder: Path) -> None:
    (short_folder / "disk").write_bytes(bytes(6 << 20))
    start(
        *("--device", "scsi", "--storage", f"file:{short_folder / 'disk'}", "--size", "1M"),
        *("--block-size", "4096", "--queues", "2", "--queue-size-max", "128", "--targets", "2"),
        *("--luns", "3", "--seg-max", "30", "--size-max", "65536", "--discard-sectors-max", "100"),
        *("--discard-segments-max", "4", "--read-only", "--latency", "10us,100us/1s"),
        *("--serve", "event", "--threads", "2", "--cpus", "0", "--profile", "qemu"),
        *("--fault", "error:every=2", "--fault", "delay", "--die-with-parent"),
        *("--clients", "3"),
    )
    assert is_served(path)


def test_the_socket_that_a_killed_one_left_is_refused_with_what_to_do(
    start: Start, path: str
) -> None:
    first = start("--storage", "null")
    first.kill()
    first.wait()
    second = start("--storage", "null")
    assert second.wait(TIMEOUT_S) == 1
    assert second.stderr is not None
    assert f"nobody listens on it; if it is left over, remove it: rm '{path}'" in (
        second.stderr.read()
    )
    assert Path(path).is_socket()


def test_it_listens_on_a_socket_that_was_bound_for_it(start: Start, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        process = start(
            "--storage", "null", "--socket-fd", str(bound.fileno()), fds=[bound.fileno()]
        )
    with Frontend(path) as frontend:
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
    process.terminate()
    assert process.wait(TIMEOUT_S) == 0
    assert not Path(path).exists()


@pytest.mark.parametrize("fd", ["99", "1", "-5"])
def test_a_descriptor_that_is_no_socket_is_refused(start: Start, path: str, fd: str) -> None:
    process = start("--storage", "null", "--socket-fd", fd)
    assert process.wait(TIMEOUT_S) == 1
    assert process.stderr is not None
    assert f"socket {path}: " in process.stderr.read()


@pytest.mark.parametrize("name", ["disk.sock", "control.sock"])
def test_what_took_its_sockets_place_stays(start: Start, path: str, name: str) -> None:
    place = Path(path).with_name(name)
    control = str(place.with_name("control.sock"))
    process = start("--storage", "null", "--control", control)
    wait_until_served(control, process)
    place.unlink()
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(place))
        theirs.listen()
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0
        assert is_served(str(place))


@pytest.mark.parametrize("storage", ["file", "memory"])
def test_a_dangling_link_as_storage_leads_nowhere(
    start: Start, short_folder: Path, storage: str
) -> None:
    link = short_folder / "link"
    link.symlink_to(short_folder / "elsewhere")
    process = start("--storage", f"{storage}:{link}", "--size", "1M")
    assert process.wait(TIMEOUT_S) == 1
    assert not (short_folder / "elsewhere").exists()


@pytest.mark.parametrize("options", [(), ("--read-only",)])
def test_a_pipe_as_storage_is_refused(
    start: Start, short_folder: Path, options: tuple[str, ...]
) -> None:
    os.mkfifo(short_folder / "pipe")
    process = start("--storage", f"file:{short_folder / 'pipe'}", "--size", "1M", *options)
    assert process.wait(TIMEOUT_S) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_may_not_give_commands(start: Start, path: str, short_folder: Path) -> None:
    control = short_folder / "control.sock"
    process = start("--storage", "null", "--control", str(control))
    wait_until_served(str(control), process)
    short_folder.chmod(0o755)
    control.chmod(0o777)
    ask = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
    ask += "s.sendall(b'stats\\n'); print(s.recv(9999))"
    asked = subprocess.run(
        [*NOBODY, sys.executable, "-S", "-c", ask, str(control)],
        capture_output=True,
        text=True,
        check=False,
    )
    process.terminate()
    assert process.stderr is not None
    assert "user 65534 may not give commands" in process.stderr.read()
    assert "device" not in asked.stdout


def test_a_socket_in_use_is_refused(start: Start, path: str) -> None:
    first = start("--storage", "null")
    second = start("--storage", "null")
    assert second.wait(TIMEOUT_S) == 1
    assert second.stderr is not None
    assert f"socket {path}: another process listens there" in second.stderr.read()
    assert first.poll() is None
    assert is_served(path)


def test_a_file_in_the_way_is_not_touched(start: Start, path: str) -> None:
    Path(path).write_text("mine")
    process = start("--storage", "null")
    assert process.wait(TIMEOUT_S) == 1
    assert Path(path).read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--storage", "tape"], "storage 'tape' is unknown: use null, memory"),
        (["--storage", "file:/nowhere/disk"], "/nowhere/disk: No such file"),
        (["--device", "net"], "device 'net' is unknown: use blk or scsi"),
        (["--serve", "later"], "serve 'later' is unknown: use poll, event or adaptive"),
        (["--block-size", "1024"], "block size 1024: use 512 or 4096"),
        (["--size", "1000"], "is not a multiple of the block size"),
        (["--queues", "500"], "500 queues: 1 to 256"),
        (["--queues", "-1"], "queue_count"),
        (["--device", "scsi", "--targets", "9"], "9 targets: 1 to 8"),
        (["--luns", "2"], "2 LUNs: 1 to 1"),
        (["--cpus", "x"], "CPUs 'x'"),
        (["--cpus", "1000"], "CPU 1000"),
        (["--queue-size-max", "100"], "100 is not a power of two"),
        (["--latency", "soon"], "'soon' is not a number like 20us"),
        (["--fault", "gremlin"], "fault 'gremlin' is unknown"),
    ],
)
def test_a_bad_option_is_told_in_a_line(start: Start, options: list[str], words: str) -> None:
    process = start(*options)
    assert process.wait(TIMEOUT_S) == 1
    assert process.stderr is not None
    told = process.stderr.read()
    assert words in told
    assert told.count("\n") == 1


def test_die_kills_the_process_at_once(start: Start, path: str) -> None:
    process = start("--fault", "die:after=1")
    with Frontend(path) as frontend:
        blk(frontend, BLK_READ, 0, in_bytes=512)
        queue = frontend.queues[0]
        queue.offer(queue.add([frontend.memory.place(bytes(16))]))
        queue.publish()
        queue.kick()
        assert process.wait(TIMEOUT_S) == -signal.SIGKILL


def test_it_ends_with_its_parent_if_told(short_folder: Path) -> None:
    path = str(short_folder / "orphan.sock")
    command = [
        sys.executable,
        "-m",
        "pyfio_virtio.backends.builtin",
        "--socket",
        path,
        "--die-with-parent",
    ]
    parent = f"import subprocess, time; subprocess.Popen({command!r}); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        wait_until(lambda: is_served(path), "a back-end that listens")
        process.kill()
    wait_until(lambda: not Path(path).exists(), "the end of the back-end")


def test_a_file_is_made_and_keeps_what_was_written(
    backend: StartBuiltin, short_folder: Path
) -> None:
    file = short_folder / "disk"
    started = backend(storage=f"file:{file}", size_bytes=1 << 20)
    with Frontend(started.settings.socket_path) as frontend:
        blk(frontend, BLK_WRITE, 1, b"here" * 128)
    assert file.stat().st_size == 1 << 20
    assert file.read_bytes()[512:1024] == b"here" * 128


def test_a_file_tells_its_own_size(backend: StartBuiltin, short_folder: Path) -> None:
    file = short_folder / "disk"
    file.write_bytes(bytes(12 * 512 + 100))
    with Frontend(backend(storage=f"file:{file}", size_bytes=0).settings.socket_path) as frontend:
        assert int.from_bytes(frontend.config()[:8], "little") == 12
