# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/verify.py and cli/probe.py: ^C at any moment, the memory that they need, and what is refused.

tests/pyfio_virtio/disk/test_verify.py has what verify writes and finds.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.fio.job_writer import WAITS
from tests.conftest import Fio, RunCommand, StartBackend
from tests.pyfio_virtio.conftest import Start
from tests.pyfio_virtio.disks import Server
from tests.waiting import wait_until

# A request times out after 30 s, so a command that ends sooner did not wait for that.
PATIENCE_S = 20.0
INTERRUPTED = 130
# No command gets to the end of it. The storage is null, so it needs no memory.
ENDLESS_BYTES = 4 << 40
ZEROES = ("--pattern", "00")


@pytest.fixture
def endless(builtin: StartBackend, private: Path) -> Backend:
    return builtin(
        storage="null", size_bytes=ENDLESS_BYTES, options=(f"control={private / 'control'}",)
    )


def _ask(private: Path, line: str) -> str:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(PATIENCE_S)
        control.connect(str(private / "control"))
        control.sendall(f"{line}\n".encode())
        return control.recv(1 << 16).decode()


def _until_it_reads(private: Path) -> None:
    wait_until(lambda: '"reads": 0,' not in _ask(private, "stats"))


def _interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors.lstrip()) == (INTERRUPTED, "pyfio-virtio: interrupted\n")


every_way = pytest.mark.parametrize("how", ["", "-a", "-t 4", "-a -t 4"])


@every_way
def test_an_interrupt_ends_it_while_it_works(
    start: Start, endless: Backend, private: Path, how: str
) -> None:
    process = start("verify", "-s", endless.socket, "--full", "--yes", *ZEROES, *how.split())
    _until_it_reads(private)
    _interrupt(process)


@every_way
def test_an_interrupt_ends_it_while_the_back_end_hangs(
    start: Start, endless: Backend, private: Path, how: str
) -> None:
    process = start("verify", "-s", endless.socket, "--full", "--yes", *ZEROES, *how.split())
    _until_it_reads(private)
    with Server(endless).stopped():
        _interrupt(process)


@every_way
def test_an_interrupt_ends_it_while_requests_are_lost(
    start: Start, endless: Backend, private: Path, how: str
) -> None:
    _ask(private, "fault lose")
    process = start("verify", "-s", endless.socket, "--full", "--yes", *ZEROES, *how.split())
    wait_until(lambda: '"fault_lose"' in _ask(private, "stats"))
    _interrupt(process)


def test_an_interrupt_ends_it_while_it_makes_a_large_piece(start: Start, endless: Backend) -> None:
    """It writes nothing for seconds, because one piece has 1 GiB."""
    process = start("verify", "-s", endless.socket, "--full", "--yes", "-S", "1G", "--random", "1")
    wait_until(lambda: _thread_count(process.pid) > 1)
    time.sleep(1)
    _interrupt(process)


def _thread_count(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@pytest.mark.parametrize("words", ["verify --yes --full -s", "probe --connect-timeout 100"])
def test_an_interrupt_ends_it_while_it_connects(start: Start, private: Path, words: str) -> None:
    path = str(private / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        silent.settimeout(PATIENCE_S)
        process = start(*words.split(), path)
        client, _ = silent.accept()
        with client:
            assert client.recv(1)
            _interrupt(process)


def test_a_failure_of_one_thread_ends_the_others(
    command: RunCommand, endless: Backend, private: Path
) -> None:
    """The other threads would be busy with the disk for days."""
    _ask(private, "fault error:type=read,count=1,after=20")
    done = command("verify", "-s", endless.socket, "--full", "--yes", *ZEROES, "-t", "4")
    assert done.status == 1
    assert "read" in done.stderr
    assert done.stderr.count("\n") == 1


def test_its_memory_does_not_grow_with_the_disk(
    start: Start, endless: Backend, private: Path
) -> None:
    """A list of the pieces of this disk would take more than 300 MiB."""
    process = start("verify", "-s", endless.socket, "--full", "--yes", *ZEROES)
    _until_it_reads(private)
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    _interrupt(process)
    assert peak_kib < 100 << 10


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("-i", "5"), "--iterations"),
        (("--iterations", "100"), "--iterations"),
        (("--offset", "0"), "--offset"),
        (("--offset", "4k", "-i", "1"), "--iterations"),
    ],
)
def test_the_whole_disk_has_no_part(
    endless: Backend, command: RunCommand, options: tuple[str, ...], name: str
) -> None:
    done = command("verify", "-s", endless.socket, "--full", "--yes", *options)
    assert (done.status, done.stderr) == (
        2,
        f"pyfio-virtio: cannot use both --full and {name}: --full verifies the whole disk; "
        "leave one of them out\n",
    )


def test_the_ways_of_waiting_are_those_of_the_engine(
    command: RunCommand, endless: Backend, fio: Fio, private: Path
) -> None:
    done = command("verify", "-s", endless.socket, "--yes", "--wait", "buzy")
    assert (done.status, done.stderr.count("\n")) == (2, 1)
    assert all(f"'{each}'" in done.stderr for each in WAITS)
    helped = subprocess.run(
        ["fio", "--enghelp=fio_virtio,wait"],
        env={**os.environ, **fio.environment()},
        cwd=private,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    values = helped.partition("valid values:")[2].replace(":", "").splitlines()
    assert [line.split()[0] for line in values if line.split()] == list(WAITS)
