# SPDX-License-Identifier: GPL-2.0-or-later
"""backends/disk_files.py: files made for a disk, and what a failed start leaves of them."""

from pathlib import Path

import pytest

from pyfio_virtio.backends import backends, disk_files
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError
from tests.conftest import RunCommand

# The back-end itself refuses this, after the file was made.
_REFUSED = "latency=9999s"


def _fails(private: Path, disk: Path) -> None:
    spec = BackendSpec(storage=f"file:{disk}", size_bytes=1 << 20, options=(_REFUSED,))
    with pytest.raises(PyfioVirtioError, match="did not start"):
        backends.start(spec, str(private / "sock"), str(private / "log"))


def test_a_failed_start_removes_the_file_that_it_made(private: Path) -> None:
    _fails(private, private / "disk")
    assert list(private.iterdir()) == []


def test_a_failed_start_keeps_a_file_that_was_there(private: Path) -> None:
    (private / "disk").write_bytes(b"precious" * 512)
    _fails(private, private / "disk")
    assert (private / "disk").read_bytes() == b"precious" * 512


def test_a_later_file_at_the_same_path_is_not_removed(private: Path) -> None:
    path = private / "disk"
    made = disk_files.make(path, 4096, is_filled=True)
    path.rename(private / "moved")
    path.write_bytes(b"precious")
    disk_files.remove(path, made)
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("words", ["run", "backend start", "backend start qsd --queues 1048576"])
def test_a_command_that_fails_leaves_no_file(
    command: RunCommand, private: Path, words: str
) -> None:
    disk = private / "disk"
    options = () if "qsd" in words else ("--backend-option", _REFUSED)
    ended = command(*words.split(), "--storage", f"file:{disk}", "--disk-size", "1M", *options)
    assert ended.status == 1
    assert "did not start" in ended.stderr
    assert not disk.exists()


@pytest.mark.parametrize(
    "words",
    [
        "run --storage file:{}/none/disk",
        "backend start --storage file:{}/none/disk",
        "backend start --storage file:{}/disk --socket {}/none/sock",
    ],
)
def test_nothing_is_announced_that_cannot_happen(
    command: RunCommand, private: Path, words: str
) -> None:
    ended = command(*words.format(private, private).split())
    assert ended.status == 2
    assert "written first" not in ended.stderr
    assert ended.stderr.strip().splitlines()[-1].endswith(("in another one", "another --socket"))
    assert not (private / "disk").exists()
