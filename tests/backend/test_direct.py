# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and block devices without the page cache: direct=on, by every way to wait."""

import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pyfio_virtio.errors import PyfioVirtioError
from tests.backend.conftest import Start, StartBuiltin
from tests.backend.disk_requests import (
    BLK_FLUSH,
    BLK_IOERR,
    BLK_OK,
    BLK_READ,
    BLK_WRITE,
    BlkDone,
    BlkRequest,
    blk,
)
from tests.backend.frontend import TIMEOUT_S, Frontend
from tests.backend.test_storage import mounted_in_a_namespace

DISK_BYTES = 1 << 20


@pytest.fixture(params=["io_uring", "threads", "off"])
def direct(
    request: pytest.FixtureRequest, short_folder: Path, backend: StartBuiltin
) -> dict[str, str | bool]:
    """Settings that are possible here, for the file `disk`."""
    settings = {"storage": f"file:{short_folder}/disk", "aio": request.param, "direct": True}
    try:
        backend(**settings).stop()
    except PyfioVirtioError as error:
        pytest.skip(f"not possible here: {error}")
    return settings


def aligned(
    frontend: Frontend, kind: int, sector: int, out: bytes = b"", in_bytes: int = 0
) -> BlkDone:
    """Like blk(), whose data is not aligned: its data is, and follows the header."""
    frontend.memory.take(0, 4096)
    frontend.memory.take(4096 - 16, 16)
    return blk(frontend, kind, sector, out, in_bytes)


@pytest.mark.parametrize("move", [aligned, blk])
def test_data_reaches_the_file_from_any_memory(
    backend: StartBuiltin, short_folder: Path, direct: dict[str, str | bool], move: object
) -> None:
    assert callable(move)
    data = random.Random(1).randbytes(65536)
    started = backend(**direct)
    with Frontend(started.settings.socket_path) as frontend:
        assert move(frontend, BLK_WRITE, 64, data).status == BLK_OK
        assert move(frontend, BLK_FLUSH, 0).status == BLK_OK
        assert move(frontend, BLK_READ, 64, in_bytes=65536).data == data
    assert (short_folder / "disk").read_bytes()[32768 : 32768 + 65536] == data
    assert started.statistics()["direct"]


def test_many_requests_are_in_flight(
    backend: StartBuiltin, short_folder: Path, direct: dict[str, str | bool]
) -> None:
    data = random.Random(2).randbytes(DISK_BYTES)
    (short_folder / "disk").write_bytes(data)
    started = backend(**direct)
    with Frontend(started.settings.socket_path, size=256) as frontend:
        ring = frontend.queues[0]
        requests = {}
        for number in range(64):
            frontend.memory.take(0, 4096)
            frontend.memory.take(4096 - 16, 16)
            request = BlkRequest(frontend.memory, BLK_READ, 32 * number, in_bytes=4096)
            requests[ring.add(request.chain())] = request
            ring.offer(list(requests)[-1])
        ring.publish()
        ring.kick()
        used = dict(ring.wait(64))
        for number, (head, request) in enumerate(requests.items()):
            at = 32 * 512 * number
            assert request.done(used[head]).data == data[at : at + 4096]


def test_a_file_that_is_cut_short_fails_requests(
    backend: StartBuiltin, short_folder: Path, direct: dict[str, str | bool]
) -> None:
    started = backend(**direct)
    with Frontend(started.settings.socket_path) as frontend:
        os.truncate(short_folder / "disk", 65536 + 100)
        assert aligned(frontend, BLK_READ, 128, in_bytes=4096).status == BLK_IOERR
        assert aligned(frontend, BLK_READ, 1024, in_bytes=4096).status == BLK_IOERR
        assert aligned(frontend, BLK_WRITE, 1024, bytes(4096)).status == BLK_IOERR
        assert blk(frontend, BLK_READ, 128, in_bytes=4096).status == BLK_IOERR
        assert aligned(frontend, BLK_READ, 0, in_bytes=4096).status == BLK_OK
    assert (short_folder / "disk").stat().st_size == 65536 + 100


@pytest.fixture
def large_blocks(short_folder: Path) -> Iterator[str]:
    """A block device with blocks of 4096 bytes."""
    backing = short_folder / "backing"
    backing.write_bytes(bytes(DISK_BYTES))
    made = subprocess.run(
        ["losetup", "--find", "--show", "--sector-size=4096", str(backing)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


def test_the_blocks_of_the_disk_are_those_of_the_device(
    backend: StartBuiltin, large_blocks: str
) -> None:
    settings = {"storage": f"file:{large_blocks}", "direct": True, "size_bytes": 0}
    started = backend(**settings)
    with Frontend(started.settings.socket_path) as frontend:
        assert int.from_bytes(frontend.config(20, 4), "little") == 4096
        assert aligned(frontend, BLK_WRITE, 8, b"x" * 4096).status == BLK_OK
        assert blk(frontend, BLK_READ, 8, in_bytes=4096).data == b"x" * 4096
    started.stop()
    with pytest.raises(PyfioVirtioError, match="needs blocks of 4096 bytes"):
        backend(**settings, block_bytes=512)


@pytest.fixture
def without_direct(short_folder: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    with mounted_in_a_namespace(short_folder / "ramfs", "ramfs") as mounted:
        yield mounted


def test_a_file_system_without_direct_access_is_refused_with_the_reason(
    start: Start, without_direct: tuple[Path, Sequence[str]]
) -> None:
    folder, prefix = without_direct
    storage = f"--storage=file:{folder}/disk"
    process = start(storage, "--size=1M", "--direct=on", prefix=prefix)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert (
        "direct=on: its file system has no direct access (Invalid argument): use direct=off" in said
    )
