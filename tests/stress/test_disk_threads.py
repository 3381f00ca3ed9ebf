# SPDX-License-Identifier: GPL-2.0-or-later
"""Many threads on one disk and on one allocator: disk_threads.c, give_up.c and allocations.c.

With the thread sanitizer, and at full speed; where memory is given back while it may still be in
use, with the address sanitizer as well.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import build as engine_build
from pyfio_virtio.backends.backends import Backend
from tests.pyfio_virtio.disks import Server
from tests.stress.test_ring_stress import BUILDS, compile_program, require_sanitizer

HERE = Path(__file__).parent
DEFINES = ('-DENGINE_VERSION="test"', "-DSLEEPY_POLL_DEFAULT=0")
ALLOCATIONS = {"fast": 1_000_000, "tsan": 50_000}
ROUNDS = {"fast": 20, "tsan": 5}
FLAGS = {**BUILDS, "asan": ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover")}


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    name: str = request.param
    if name == "tsan":
        require_sanitizer(tmp_path_factory.mktemp("empty"), BUILDS[name])
    return name


@pytest.fixture(scope="module")
def disk_threads(build: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(build, "disk_threads", tmp_path_factory.mktemp(build))


@pytest.fixture(scope="module", params=[*BUILDS, "asan"])
def give_up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("give_up")
    if request.param != "fast":
        require_sanitizer(folder, FLAGS[request.param])
    return compiled(request.param, "give_up", folder)


def compiled(build: str, program: str, folder: Path) -> Path:
    target = folder / program
    flags = (*FLAGS[build], *DEFINES)
    sources = (HERE / f"{program}.c", *engine_build.library_sources())
    assert compile_program(target, flags, *sources) == ""
    return target


def ends_well(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("wait", ["event", "busy", "sleepy", "adaptive"])
@pytest.mark.parametrize(("kind", "block_size", "queues"), [("qsd", 512, 2), ("builtin", 4096, 1)])
def test_threads_on_a_disk(
    build: str,
    disk_threads: Path,
    serve: Callable[..., Backend],
    kind: str,
    block_size: int,
    queues: int,
    wait: str,
) -> None:
    backend = serve(kind, block_size=block_size, queues=queues, size_bytes=1 << 20)
    ends_well(disk_threads, backend.socket, wait, str(queues), str(ROUNDS[build]))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("wait", ["event", "adaptive"])
@pytest.mark.parametrize("queues", [1, 2])
def test_threads_that_give_operations_up(
    give_up: Path, serve: Callable[..., Backend], queues: int, wait: str
) -> None:
    """The back-end is stopped again and again, so that it reads and writes late."""
    options = ("fault=reorder:for=5ms,every=3",)
    server = Server(serve("builtin", queues=queues, size_bytes=1 << 20, options=options))
    command = [str(give_up), server.backend.socket, wait, str(queues), "40"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        while program.poll() is None:
            with server.stopped():
                time.sleep(0.01)
            time.sleep(0.01)
        assert program.stdout is not None
        assert (program.returncode, program.stdout.read()) == (0, b"")


@pytest.mark.timeout(600)
def test_threads_on_an_allocator(build: str, tmp_path: Path) -> None:
    ends_well(compiled(build, "allocations", tmp_path), str(ALLOCATIONS[build]))
