# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples, as a stranger compiles and runs them: they copy a disk to another one.

Those in C run with the address sanitizer, which also checks for leaks, on each of their ways out.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.engine import engine
from tests.engine.library.installed import ROOT, build
from tests.pyfio_virtio.disks import open_disk

EXAMPLES = ROOT / "engine" / "examples"
IN_C = ("copy_blocking", "copy_async", "copy_epoll")
ALL = (*IN_C, "copy_disk.py")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# No multiple of a piece.
DISK_BYTES = (3 << 20) + 512
LIMIT_S = 60.0

Serve = Callable[..., Backend]


@dataclass(frozen=True)
class Example:
    command: tuple[str, ...]
    environment: dict[str, str]

    def start(self, source: str, target: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self.command, source, target],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, source: str, target: str) -> tuple[int, str, str]:
        with self.start(source, target) as process:
            stdout, stderr = process.communicate(timeout=LIMIT_S)
        return process.returncode, stdout, stderr


@pytest.fixture(scope="session")
def programs(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in IN_C:
        build(prefix, EXAMPLES / f"{name}.c", folder / name, *SANITIZED)
    return folder


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Example:
    name = str(request.param)
    if name.endswith(".py"):
        path = {"PYTHONPATH": str(ROOT), engine.FOLDER_VARIABLE: str(engine.folder())}
        return Example((sys.executable, str(EXAMPLES / name)), path)
    prefix: Path = request.getfixturevalue("prefix")
    programs: Path = request.getfixturevalue("programs")
    # `make asan` preloads the sanitizer and turns off its check for leaks; the programs have both.
    plain = {"LD_PRELOAD": "", "ASAN_OPTIONS": "detect_leaks=1"}
    return Example((str(programs / name),), {"LD_LIBRARY_PATH": str(prefix / "lib"), **plain})


every_example = pytest.mark.parametrize("example", ALL, indirect=True)


def disk(serve: Serve, size_bytes: int = DISK_BYTES, *options: str) -> Backend:
    return serve("builtin", size_bytes=size_bytes, options=options)


def faulty(serve: Serve, faults: tuple[str, str]) -> list[Backend]:
    return [disk(serve, DISK_BYTES, *([f"fault={fault}"] if fault else [])) for fault in faults]


@every_example
def test_each_byte_is_copied(example: Example, serve: Serve) -> None:
    source, target = disk(serve), disk(serve, DISK_BYTES + (1 << 20))
    data = os.urandom(DISK_BYTES)
    with open_disk(source) as opened:
        opened.pwrite(data, 0)
    assert example.run(source.socket, target.socket) == (0, f"{DISK_BYTES} bytes copied\n", "")
    with open_disk(target) as opened:
        assert opened.pread(DISK_BYTES, 0) == data
        assert not any(opened.pread(1 << 20, DISK_BYTES))


def fails(example: Example, source: str, target: str) -> str:
    """What it says, in one line."""
    status, stdout, stderr = example.run(source, target)
    assert (status, stdout, stderr.count("\n")) == (1, "", 1), stderr
    return stderr


@every_example
@pytest.mark.parametrize("missing", ["source", "target"])
def test_a_socket_that_is_missing_is_named(example: Example, serve: Serve, missing: str) -> None:
    sockets = [disk(serve).socket, "/nowhere/socket"]
    source, target = reversed(sockets) if missing == "source" else sockets
    assert "/nowhere/socket: no such socket" in fails(example, source, target)


@every_example
def test_a_target_that_is_too_small_is_not_written(example: Example, serve: Serve) -> None:
    source, target = disk(serve), disk(serve, 512)
    with open_disk(target) as opened:
        opened.pwrite(b"x" * 512, 0)
    said = fails(example, source.socket, target.socket)
    assert said == f"the target has only 512 bytes, and the source has {DISK_BYTES}\n"
    with open_disk(target) as opened:
        assert opened.pread(512, 0) == b"x" * 512


@every_example
@pytest.mark.parametrize("faults", [("die:after=2", ""), ("", "die:after=2")], ids=str)
def test_a_back_end_that_dies_is_named(
    example: Example, serve: Serve, faults: tuple[str, str]
) -> None:
    source, target = faulty(serve, faults)
    said = fails(example, source.socket, target.socket)
    assert (source if faults[0] else target).socket in said


@every_example
@pytest.mark.parametrize(
    ("faults", "call"),
    [
        (("error:type=read,after=2,count=1", ""), "read"),
        (("", "error:type=write,after=2,count=1"), "write"),
        (("", "error:type=flush"), "flush"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_of_a_disk_is_told(
    example: Example, serve: Serve, faults: tuple[str, str], call: str
) -> None:
    source, target = faulty(serve, faults)
    assert call in fails(example, source.socket, target.socket)


@pytest.mark.parametrize("example", ["copy_epoll"], indirect=True)
def test_the_loop_ends_in_order_while_an_answer_is_missing(example: Example, serve: Serve) -> None:
    source, target = disk(serve, DISK_BYTES, "fault=lose:after=5,count=1"), disk(serve)
    with example.start(source.socket, target.socket) as process:
        until = time.monotonic() + LIMIT_S
        while not is_in_its_loop(process.pid):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=LIMIT_S) == ("", "interrupted\n")
    assert process.returncode == 1


def is_in_its_loop(pid: int) -> bool:
    """Whether both threads that look for completions run."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0]) >= 3
