# SPDX-License-Identifier: GPL-2.0-or-later
"""backends/filling.py: disks that are filled before they are measured, and those that are not."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.backends import backends, filling
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.backends.storage import MEMORY_FD_NAME
from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine import memory
from tests.conftest import RunCommand, StartBackend

MIB = 1 << 20


@given(st.integers(1, 5 * MIB))
def test_memory_that_was_filled_has_all_of_its_pages(size: int) -> None:
    fd = os.memfd_create("test")
    try:
        os.ftruncate(fd, size)
        filling.fill_memory(fd, size)
        assert os.fstat(fd).st_blocks * 512 >= size
        assert os.fstat(fd).st_size == size
    finally:
        os.close(fd)


def test_memory_is_filled_to_its_end_by_several_threads() -> None:
    fd = os.memfd_create("test")
    size = 200 * MIB + 4096
    os.ftruncate(fd, size)
    filling.fill_memory(fd, size)
    assert os.fstat(fd).st_blocks * 512 >= size
    assert os.fstat(fd).st_size == size
    os.close(fd)


@pytest.mark.parametrize("size", [1, 4096, 3 * MIB + 512])
def test_a_file_that_was_filled_has_no_hole(tmp_path: Path, size: int) -> None:
    with (tmp_path / "disk").open("wb") as file:
        filling.fill_file(file.fileno(), size)
    content = (tmp_path / "disk").read_bytes()
    assert len(content) == size
    assert content[:256] == bytes(256)[:size]
    with (tmp_path / "disk").open("rb") as file:
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == size


def test_half_of_the_free_memory_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 200 * MIB)
    assert filling.short_of_memory(100 * MIB) == ""
    assert filling.short_of_memory(101 * MIB) == (
        "101 MiB of memory are more than half of the 200 MiB that are free, so its pages are "
        "filled as they are used, which slows down their first use"
    )


def test_half_of_the_free_room_is_enough(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    free = found.f_bavail * found.f_frsize
    assert filling.short_of_room(tmp_path / "disk", free // 4) == ""
    said = filling.short_of_room(tmp_path / "disk", free)
    assert f"free in {tmp_path}, so the blocks of disk are allocated as they are used" in said


# ---- back-ends -----------------------------------------------------------------------------------


def _memory_of(disk: Backend) -> Path:
    for fd in Path(f"/proc/{disk.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed in the meantime
            if MEMORY_FD_NAME in str(fd.readlink()):
                return fd
    raise AssertionError("it has no memory file")


def test_memory_of_qemu_is_there_before_it_is_served(qsd: StartBackend) -> None:
    disk = qsd(storage="memory", size_bytes=64 * MIB)
    assert _memory_of(disk).stat().st_blocks * 512 >= 64 * MIB


@pytest.mark.parametrize("kind", ["builtin", "qsd"])
def test_a_file_that_is_made_is_filled(serve: StartBackend, private: Path, kind: str) -> None:
    serve(kind, storage=f"file:{private / 'disk'}", size_bytes=2 * MIB)
    assert (private / "disk").stat().st_blocks * 512 >= 2 * MIB


def test_a_file_that_is_there_is_not_filled(builtin: StartBackend, private: Path) -> None:
    with (private / "disk").open("wb") as file:
        file.truncate(64 * MIB)
    builtin(storage=f"file:{private / 'disk'}")
    assert (private / "disk").stat().st_blocks == 0


def test_a_file_larger_than_half_of_the_room_stays_sparse(
    builtin: StartBackend, private: Path
) -> None:
    found = os.statvfs(private)
    size = found.f_bavail * found.f_frsize * 3 // 4 // MIB * MIB
    builtin(storage=f"file:{private / 'disk'}", size_bytes=size)
    assert (private / "disk").stat().st_size == size
    assert (private / "disk").stat().st_blocks * 512 < MIB


def test_a_file_that_cannot_be_filled_is_not_left_behind(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, size_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(filling, "fill_file", fail)
    spec = BackendSpec(storage=f"file:{private / 'disk'}", size_bytes=MIB)
    with pytest.raises(UsageError, match="No space left on device"):
        backends.start(spec, str(private / "sock"), str(private / "log"))
    assert list(private.iterdir()) == []


# ---- what is said --------------------------------------------------------------------------------


def test_run_says_that_memory_is_filled_as_it_is_used(command: RunCommand) -> None:
    done = command("run", "--disk-size", "1T", "--", "--runtime=1", "--size=1M")
    assert done.status == 0
    assert "1 TiB of memory are more than half of the" in done.stderr


def test_run_says_nothing_of_memory_that_there_is(command: RunCommand) -> None:
    done = command("run", "--disk-size", "16M", "--", "--runtime=1")
    assert done.status == 0
    assert "free" not in done.stderr


def test_backend_start_says_it_too(command: RunCommand) -> None:
    done = command("backend", "start", "--disk-size", "1T", "--name", "large")
    assert done.status == 0
    assert "1 TiB of memory are more than half of the" in done.stderr
    assert command("backend", "stop", "large").status == 0


def test_run_says_that_a_new_file_is_written_first(command: RunCommand, private: Path) -> None:
    disk = private / "disk"
    words = ("run", "--storage", f"file:{disk}", "--disk-size", "16M", "--", "--runtime=1")
    assert f"{disk} is new, so all of its 16 MiB are written first" in command(*words).stderr
    again = (*words[:1], "--yes", *words[1:])
    assert "written first" not in command(*again).stderr
