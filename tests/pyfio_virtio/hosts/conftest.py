# SPDX-License-Identifier: GPL-2.0-or-later
"""A real `pyfio-virtio serve` for the tests of this folder, and a controller that talks to it.

- `here` is one that serves all tests: .address, .socket (a path), .pid, .errors() (its stderr so
  far), .sessions() (the private folders of its sessions), .processes() (all below it). After each
  test, it must have no session, and have left nothing.
- `served(*arguments, limits={"wire.SILENCE_S": 0.5})` starts another one, in `private`.
- `Client(socket)` speaks with it: send(kind, **fields), next(kind), and connection.
- `begin_job(client, text, disk)` begins a job by a real `fio --client`; .run() runs it to its end.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket as socket_module
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import pytest

from pyfio_virtio.hosts import addresses, wire
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.wire import Message
from pyfio_virtio.machine import descendants
from tests.conftest import ROOT
from tests.waiting import wait_until

LIMIT_S = 30.0
JOB = """[a]
ioengine=fio_virtio
filename=${DISK}
rw=randread
bs=4k
number_ios=1000
thread=1
clocksource=clock_gettime
stats_file=counters.jsonl
"""
LONG_JOB = JOB.replace("number_ios=1000", "time_based=1\nruntime=60")


@dataclass
class Served:
    process: subprocess.Popen[str]
    address: str
    folder: Path  # in which each session has its own
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def socket(self) -> str:
        return self.address.removeprefix("unix:")

    def errors(self) -> str:
        return self.log.read_text()

    def sessions(self) -> list[Path]:
        return sorted(self.folder.glob("run-*"))

    def processes(self) -> list[int]:
        return list(descendants.below(self.pid))

    def is_idle(self) -> bool:
        return not self.processes() and not self.sessions()

    def wait_until_idle(self) -> None:
        wait_until(self.is_idle, "the end of all sessions")


Serve = Callable[..., Served]


def _start(folder: Path, limits: Mapping[str, float], *arguments: str) -> Served:
    """Serves with `folder` for XDG_RUNTIME_DIR."""
    log = folder / f"serve{len(list(folder.glob('serve*.log')))}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *_program(limits), "serve", *arguments],
            cwd=ROOT,
            env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout
    address = process.stdout.readline().strip()
    assert address, log.read_text()
    return Served(process, address, folder / "pyfio-virtio", log)


def _end(here: Served) -> None:
    here.process.terminate()
    here.process.communicate(timeout=LIMIT_S)
    assert here.sessions() == []
    _check_words(here)


def _check_words(here: Served) -> None:
    text = here.errors()
    assert "Traceback" not in text, text
    assert "Exception" not in text, text
    assert "a session failed" not in text, text


@pytest.fixture
def served(private: Path) -> Iterator[Serve]:
    started: list[Served] = []

    def start(*arguments: str, limits: Mapping[str, float] = MappingProxyType({})) -> Served:
        started.append(_start(private, limits, *arguments))
        return started[-1]

    yield start
    for each in started:
        _end(each)


@pytest.fixture(scope="module")
def long_served() -> Iterator[Served]:
    """One for all tests of a file. It must not live longer: other files have tests that expect no
    child process.
    """
    folder = Path(tempfile.mkdtemp(prefix="pv-"))
    here = _start(folder, {})
    yield here
    _end(here)
    shutil.rmtree(folder)


@pytest.fixture
def here(long_served: Served) -> Iterator[Served]:
    yield long_served
    long_served.wait_until_idle()
    _check_words(long_served)


def _program(limits: Mapping[str, float]) -> list[str]:
    """The command with shorter limits of time, so that no test waits for the real ones."""
    if not limits:
        return ["-m", "pyfio_virtio"]
    lines = [
        "from pyfio_virtio.hosts import plain, session, wire",
        *(f"{name} = {value}" for name, value in limits.items()),
        "import runpy",
        "runpy.run_module('pyfio_virtio', run_name='__main__', alter_sys=True)",
    ]
    return ["-c", "\n".join(lines)]


class Client:
    """Every wait has a limit."""

    def __init__(self, socket: str, greets: bool = True) -> None:
        self.connection = addresses.connect(Address(path=socket), LIMIT_S)
        self._decoder, self._messages = wire.Decoder(), list[Message]()
        if greets:
            self.connection.sendall(wire.GREETING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.connection.close()

    def send(self, kind: str, data: bytes = b"", **fields: Any) -> None:  # noqa: ANN401
        wire.send(self.connection, Message(kind, fields, data))

    def next(self, *kinds: str) -> Message:
        """The next message of one of these kinds. Those of other kinds are dropped."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            while self._messages:
                message = self._messages.pop(0)
                assert message.kind in (*kinds, "beat", "fio"), message
                if message.kind in kinds:
                    return message
            piece = self.connection.recv(1 << 16)
            assert piece, "serve has closed the connection"
            self._messages += self._decoder.feed(piece)
            self.send("beat")
        raise AssertionError(f"no {kinds} came")

    def ask(self, kind: str, answer: str, **fields: Any) -> Message:  # noqa: ANN401
        self.send(kind, **fields)
        return self.next(answer)

    def prepare(self, **spec: Any) -> Message:  # noqa: ANN401
        wanted = {"kind": "builtin", "size_bytes": 4 << 20, **spec}
        return self.ask("prepare", "prepared", backend=wanted)

    def closes(self) -> bytes:
        """What serve says until it closes the connection."""
        heard = b""
        while piece := self.connection.recv(1 << 16):
            heard += piece
        return heard


@dataclass(frozen=True)
class Ran:
    status: int
    stdout: str
    said: str  # fio's last words, on the host


class FioClient:
    """A real fio client whose stream a Client carries."""

    def __init__(self, client: Client, folder: Path, text: str, disk: str) -> None:
        self._client = client
        path, job = folder / "host.sock", folder / "job.fio"
        path.unlink(missing_ok=True)
        job.write_text(text)
        with socket_module.socket(socket_module.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            listening.settimeout(LIMIT_S)
            self._process = subprocess.Popen(
                ["fio", f"--client=sock:{path}", "--output-format=json", str(job)],
                env={**os.environ, "DISK": disk},
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._stream, _ = listening.accept()
        self._decoder = wire.Decoder()
        self._is_ended = False
        self.said = ""

    def turn(self) -> None:
        """Passes on what has come."""
        ready, _, _ = select.select([self._stream, self._client.connection], [], [], 0.2)
        if self._stream in ready:
            if data := self._stream.recv(1 << 16):
                self._client.send("fio", data)
            else:
                self._client.send("fio-end")
                self._stream.close()
                self.said = str(self._client.next("fio-end").fields["said"])
                self._is_ended = True
                return
        if self._client.connection in ready:
            piece = self._client.connection.recv(1 << 16)
            assert piece, "serve has closed the connection"
            for message in self._decoder.feed(piece):
                assert message.kind in ("fio", "beat"), message
                self._stream.sendall(message.data)
            self._client.send("beat")

    def run(self) -> Ran:
        while not self._is_ended:
            self.turn()
        stdout, _ = self._process.communicate(timeout=LIMIT_S)
        return Ran(self._process.returncode, stdout, self.said)

    def turn_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not is_so():
            assert time.monotonic() < deadline
            self.turn()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()
        self._stream.close()


BeginJob = Callable[..., FioClient]


@pytest.fixture
def begin_job(private: Path) -> Iterator[BeginJob]:
    begun: list[FioClient] = []

    def begin(client: Client, text: str = JOB, disk: str = "") -> FioClient:
        begun.append(FioClient(client, private, text, disk))
        return begun[-1]

    yield begin
    for each in begun:
        each.kill()
