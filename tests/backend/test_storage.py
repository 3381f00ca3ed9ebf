# SPDX-License-Identifier: GPL-2.0-or-later
"""Storage that fails: the request fails, and the back-end still serves.

Each test also checks that data from before the failure is kept, even after a restart, unless a
flush has failed.
"""

import errno
import fcntl
import os
import resource
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backend import fuse
from tests.backend.conftest import Start, StartBuiltin
from tests.backend.disk_requests import (
    BLK_DISCARD,
    BLK_FLUSH,
    BLK_IOERR,
    BLK_OK,
    BLK_READ,
    BLK_WRITE,
    BLK_WRITE_ZEROES,
    blk,
    scsi,
)
from tests.backend.frontend import TIMEOUT_S, Frontend

MIB = 1 << 20
PIECE = 64 << 10
# Both kinds of storage that lie in a file.
KINDS = ("file", "memory")


def write(frontend: Frontend, offset: int, data: bytes) -> int:
    return blk(frontend, BLK_WRITE, offset // 512, data).status


def read(frontend: Frontend, offset: int, size: int) -> tuple[int, bytes]:
    done = blk(frontend, BLK_READ, offset // 512, in_bytes=size)
    return done.status, done.data


def flush(frontend: Frontend) -> int:
    return blk(frontend, BLK_FLUSH).status


def end(process: subprocess.Popen[str]) -> str:
    """SIGTERM; returns what it said."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    return said


# ---- a file system that is full ------------------------------------------------------------------


@contextmanager
def mounted_in_a_namespace(mounted: Path, how: str) -> Iterator[tuple[Path, Sequence[str]]]:
    """A file system in a mount namespace, and the command that runs others in there."""
    mounted.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "-m"]
    script = f"mount -t {how} none {mounted} && echo ready && exec sleep 1000"
    with subprocess.Popen([*unshare, "sh", "-c", script], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            pytest.skip("no mount namespace can be made here")
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        yield mounted, ["nsenter", f"--target={holder.pid}", "--mount", *user, "--"]
        holder.kill()


@pytest.fixture
def small_tmpfs(short_folder: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    with mounted_in_a_namespace(short_folder / "tmpfs", "tmpfs -o size=4m") as mounted:
        yield mounted


@pytest.fixture
def without_holes(short_folder: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    """A file system on which no hole can be made in a file."""
    with mounted_in_a_namespace(short_folder / "ramfs", "ramfs") as mounted:
        yield mounted


@pytest.mark.skipif(shutil.which("nsenter") is None, reason="no nsenter")
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_file_system_fails_writes_and_keeps_what_succeeded(
    start: Start, path: str, small_tmpfs: tuple[Path, Sequence[str]], kind: str
) -> None:
    folder, enter = small_tmpfs
    options = ("--storage", f"{kind}:{folder}/disk", "--size", "8M")
    process = start(*options, prefix=enter)
    pieces = {at: bytes([at // PIECE]) * PIECE for at in range(0, 8 * MIB, PIECE)}
    with Frontend(path) as frontend:
        statuses = {at: write(frontend, at, data) for at, data in pieces.items()}
        flushed = flush(frontend)
    assert set(statuses.values()) == {BLK_OK, BLK_IOERR}
    assert flushed == BLK_OK
    assert "No space left on device" in end(process)
    process = start(*options, prefix=enter)
    with Frontend(path) as frontend:
        for at, status in statuses.items():
            if status == BLK_OK:
                assert read(frontend, at, PIECE) == (BLK_OK, pieces[at])
    end(process)


@pytest.mark.skipif(shutil.which("nsenter") is None, reason="no nsenter")
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_written_reads_as_zeroes_where_nothing_can_be_allocated(
    start: Start, path: str, small_tmpfs: tuple[Path, Sequence[str]], kind: str
) -> None:
    folder, enter = small_tmpfs
    process = start("--storage", f"{kind}:{folder}/disk", "--size", "8M", prefix=enter)
    with Frontend(path) as frontend:
        statuses = [write(frontend, at, b"x" * PIECE) for at in range(0, 8 * MIB, PIECE)]
        assert statuses[-1] == BLK_IOERR
        assert read(frontend, 7 * MIB, PIECE) == (BLK_OK, bytes(PIECE))
    end(process)


# ---- a file that somebody cuts short -------------------------------------------------------------


@pytest.fixture
def disk_file(short_folder: Path) -> Path:
    return short_folder / "disk"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_fails_reads_writes_and_flushes(
    start: Start, path: str, disk_file: Path, kind: str
) -> None:
    process = start("--storage", f"{kind}:{disk_file}", "--size", "1M")
    with Frontend(path) as frontend:
        assert write(frontend, 0, b"1" * PIECE) == BLK_OK
        assert write(frontend, MIB - PIECE, b"2" * PIECE) == BLK_OK
        os.truncate(disk_file, PIECE)
        assert write(frontend, MIB - PIECE, b"3" * PIECE) == BLK_IOERR
        assert read(frontend, MIB - PIECE, PIECE)[0] == BLK_IOERR
        assert read(frontend, 0, PIECE) == (BLK_OK, b"1" * PIECE)
        assert flush(frontend) == BLK_IOERR
    with Frontend(path) as other:
        assert read(other, 0, PIECE) == (BLK_OK, b"1" * PIECE)
    assert "storage: write at byte 983040: Input/output error" in end(process)


@pytest.mark.parametrize("kind", KINDS)
def test_no_write_makes_a_file_whole_that_was_cut_short(
    start: Start, path: str, disk_file: Path, kind: str
) -> None:
    """The hole before it would read as zeroes, and nobody would know."""
    start("--storage", f"{kind}:{disk_file}", "--size", "1M")
    with Frontend(path) as frontend:
        assert write(frontend, 0, b"1" * PIECE) == BLK_OK
        os.truncate(disk_file, 0)
        assert write(frontend, MIB - PIECE, b"2" * PIECE) == BLK_IOERR
        assert read(frontend, 0, PIECE)[0] == BLK_IOERR
    assert disk_file.stat().st_size == 0


def test_no_write_makes_it_whole_in_threads_either(backend: StartBuiltin, disk_file: Path) -> None:
    started = backend(storage=f"file:{disk_file}")
    with Frontend(started.settings.socket_path) as frontend:
        os.truncate(disk_file, 0)
        assert write(frontend, MIB - PIECE, b"2" * PIECE) == BLK_IOERR
    assert disk_file.stat().st_size == 0


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_failed_flush_no_flush_succeeds(
    start: Start, path: str, disk_file: Path, kind: str
) -> None:
    """What the failed one should have saved may be lost, and the kernel forgets that it failed."""
    start("--storage", f"{kind}:{disk_file}", "--size", "1M")
    with Frontend(path) as frontend:
        assert flush(frontend) == BLK_OK
        os.truncate(disk_file, 0)
        assert flush(frontend) == BLK_IOERR
        os.truncate(disk_file, MIB)
        assert flush(frontend) == BLK_IOERR
        assert read(frontend, 0, 512)[0] == BLK_OK


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_within_the_last_page_fails_the_flush(
    start: Start, path: str, disk_file: Path, kind: str
) -> None:
    start("--storage", f"{kind}:{disk_file}", "--size", "1M")
    with Frontend(path) as frontend:
        os.truncate(disk_file, MIB - 512)
        write(frontend, MIB - 512, b"1" * 512)
        assert flush(frontend) == BLK_IOERR or disk_file.stat().st_size == MIB


# ---- other limits --------------------------------------------------------------------------------


def test_a_limit_on_the_size_of_files_fails_writes_beyond_it(
    start: Start, path: str, disk_file: Path
) -> None:
    process = start("--storage", f"file:{disk_file}", "--size", "1M")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (PIECE, PIECE))
    with Frontend(path) as frontend:
        assert write(frontend, 0, b"1" * PIECE) == BLK_OK
        assert write(frontend, PIECE, b"2" * PIECE) == BLK_IOERR
        assert read(frontend, 0, PIECE) == (BLK_OK, b"1" * PIECE)
    assert "File too large" in end(process)


def test_a_sealed_file_fails_writes(start: Start, path: str) -> None:
    fd = os.memfd_create("disk", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, MIB)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    process = start("--storage", f"file:/proc/{os.getpid()}/fd/{fd}")
    with Frontend(path) as frontend:
        assert write(frontend, 0, b"1" * 512) == BLK_IOERR
        assert read(frontend, 0, 512) == (BLK_OK, bytes(512))
    assert "Operation not permitted" in end(process)
    os.close(fd)


@pytest.mark.parametrize("limit", [1 << 16, 1 << 19])
def test_a_file_that_cannot_be_made_is_refused_with_the_reason(
    start: Start, disk_file: Path, limit: int
) -> None:
    prefix = ("prlimit", f"--fsize={limit}:{limit}")
    process = start("--storage", f"file:{disk_file}", "--size", "1M", prefix=prefix)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert said.endswith(
        f"storage {disk_file} has 0 bytes and cannot grow to 1048576: File too large\n"
    )


# ---- a device with errors ------------------------------------------------------------------------


@pytest.fixture
def device(short_folder: Path) -> Iterator[fuse.Server]:
    """It serves the file that is the disk, of 4 MiB."""
    try:
        with fuse.serving(short_folder / "fuse") as server:
            server.answered = {*fuse.TO_OPEN, fuse.FLUSH, fuse.FSYNC}
            server.is_silent = False
            yield server
    except fuse.NoFuseError as error:
        pytest.skip(f"no FUSE here: {error}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_cannot_be_read_or_written_fails_requests(
    start: Start, path: str, short_folder: Path, device: fuse.Server, kind: str
) -> None:
    device.errors = {fuse.READ: errno.EIO, fuse.WRITE: errno.EIO}
    process = start("--storage", f"{kind}:{short_folder}/fuse/file")
    with Frontend(path) as frontend:
        assert read(frontend, 0, 4096)[0] == BLK_IOERR
        assert write(frontend, 4096, b"1" * 4096) == BLK_IOERR or flush(frontend) == BLK_IOERR
    assert "Input/output error" in end(process)


@pytest.mark.parametrize("kind", KINDS)
def test_data_that_a_device_lost_fails_every_flush_from_then_on(
    start: Start, path: str, short_folder: Path, device: fuse.Server, kind: str
) -> None:
    process = start("--storage", f"{kind}:{short_folder}/fuse/file")
    with Frontend(path) as frontend:
        assert flush(frontend) == BLK_OK
        device.errors = {fuse.FSYNC: errno.EIO}
        assert flush(frontend) == BLK_IOERR
        device.errors = {}
        assert flush(frontend) == BLK_IOERR
    end(process)


# ---- ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["memory", "memory:PATH", "file:PATH"])
@pytest.mark.parametrize("kind", [BLK_DISCARD, BLK_WRITE_ZEROES])
@pytest.mark.parametrize(("first", "count"), [(8, 8), (4096, 4096), (4095, 4098), (1, 16382)])
def test_a_range_is_zeroed_and_its_neighbours_are_not(
    start: Start, path: str, disk_file: Path, storage: str, kind: int, first: int, count: int
) -> None:
    """The disk is four huge pages, from whose edges the ranges keep more or less away."""
    start("--storage", storage.replace("PATH", str(disk_file)), "--size", "8M")
    with Frontend(path) as frontend:
        for at in range(0, 8 * MIB, MIB):
            assert write(frontend, at, b"x" * MIB) == BLK_OK
        assert blk(frontend, kind, 0, struct.pack("<QII", first, count, 0)).status == BLK_OK
        found = b"".join(read(frontend, at, MIB)[1] for at in range(0, 8 * MIB, MIB))
    start_, end_ = first * 512, (first + count) * 512
    assert found[:start_] == b"x" * start_
    assert found[start_:end_] == bytes(end_ - start_)
    assert found[end_:] == b"x" * (8 * MIB - end_)


@pytest.mark.skipif(shutil.which("nsenter") is None, reason="no nsenter")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("request_", [BLK_DISCARD, BLK_WRITE_ZEROES])
def test_zeroes_are_written_where_no_hole_can_be_made(
    start: Start,
    path: str,
    without_holes: tuple[Path, Sequence[str]],
    kind: str,
    request_: int,
) -> None:
    folder, prefix = without_holes
    start("--storage", f"{kind}:{folder / 'disk'}", "--size", "1M", prefix=prefix)
    with Frontend(path) as frontend:
        assert write(frontend, 0, b"x" * PIECE) == BLK_OK
        assert blk(frontend, request_, 0, struct.pack("<QII", 8, 16, 0)).status == BLK_OK
        expected = b"x" * 4096 + bytes(8192) + b"x" * (PIECE - 12288)
        assert read(frontend, 0, PIECE) == (BLK_OK, expected)


@pytest.mark.parametrize(
    ("storage", "is_claimed"),
    [("null", False), ("memory", True), ("memory:PATH", True), ("file:PATH", True)],
)
def test_only_a_disk_that_keeps_data_says_that_discarded_blocks_read_as_zeroes(
    start: Start, path: str, disk_file: Path, storage: str, is_claimed: bool
) -> None:
    start("--storage", storage.replace("PATH", str(disk_file)), "--size", "1M", "--device", "scsi")
    capacity = bytes([0x9E, 0x10, *bytes(11), 32, 0, 0])
    provisioning = bytes([0x12, 1, 0xB2, 0, 8, 0])
    with Frontend(path, queues=3) as frontend:
        scsi(frontend, bytes(6))  # is told of the unit attention
        assert bool(scsi(frontend, capacity, in_bytes=32).data[14] & 0x40) == is_claimed
        assert bool(scsi(frontend, provisioning, in_bytes=8).data[5] & 0x04) == is_claimed
