# SPDX-License-Identifier: GPL-2.0-or-later
"""files.py: what has no end is refused, and a disk that is full leaves what was there."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyfio_virtio import files


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may become larger. write(2) writes a part, and then fails, as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_line_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    files.append_line(path, "one")
    with room(6), pytest.raises(OSError, match="File too large") as failure:
        files.append_line(path, "two")
    assert failure.value.filename == str(path)
    files.append_line(path, "3")
    assert path.read_text() == "one\n3\n"


def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.replace(path, "one")
    with room(2), pytest.raises(OSError, match="File too large") as failure:
        files.replace(path, "three")
    assert failure.value.filename == str(path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "one")]


def test_bytes_of_names_are_written_as_they_were(tmp_path: Path) -> None:
    files.replace(tmp_path / "file", os.fsdecode(b"\xff"))
    assert (tmp_path / "file").read_bytes() == b"\xff"


def test_what_has_no_end_is_refused() -> None:
    with pytest.raises(OSError, match="more than 4 MiB") as failure:
        files.read(Path("/dev/zero"), files.TEXT_BYTES)
    assert failure.value.errno == errno.EFBIG


def test_a_pipe_to_which_nobody_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_WRITER_S", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no program writes to it"):
        files.read(tmp_path / "pipe")


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_pipe_is_read_to_its_end(has_ended: bool) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"some")
    text = b"some"
    if not has_ended:
        pid = os.fork()
        if not pid:
            os.write(writer, b" more")
            os._exit(0)
        os.waitpid(pid, 0)
        text += b" more"
    os.close(writer)
    assert files.read(Path(f"/dev/fd/{reader}")) == text
    os.close(reader)


def test_a_folder_for_results_is_checked_and_left_as_it_is(tmp_path: Path) -> None:
    assert files.check_folder(tmp_path / "a" / "b") == ""
    (tmp_path / "own").write_text("")
    (tmp_path / "other").write_text("")
    assert files.check_folder(tmp_path) == ""
    assert files.check_folder(tmp_path, lambda name: name == "own") == "other"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "own"]


@pytest.mark.parametrize("place", ["file", "file/new", "/proc/none", "/sys"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"\[Errno"):
        files.check_folder(tmp_path / place)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
