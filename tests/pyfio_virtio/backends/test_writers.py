# SPDX-License-Identifier: GPL-2.0-or-later
"""backends/writers.py: no two back-ends write to one file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunCommand


@pytest.fixture
def disk(command: RunCommand, private: Path) -> Iterator[Path]:
    """A file that the back-end `first` serves."""
    path = private / "disk"
    words = ("--name", "first", "--disk-size", "1M")
    assert command("backend", "start", *words, "--storage", f"file:{path}").status == 0
    yield path
    command("backend", "stop", "--all")


@pytest.mark.parametrize(
    "words",
    [
        "backend start",
        "backend start qsd",
        "backend start --read-only",
        "run --yes",
        "sweep --yes --dry-run",
    ],
)
def test_a_second_back_end_is_refused(
    command: RunCommand, private: Path, disk: Path, words: str
) -> None:
    link = private / "link"
    link.symlink_to(disk)
    ended = command(*words.split(), "--storage", f"file:{link}")
    assert (ended.status, ended.stderr) == (
        2,
        f"pyfio-virtio: cannot use {link} as storage: the back-end first serves it, and two "
        "writers would destroy its data; pyfio-virtio backend stop first, or use --read-only for "
        "both\n",
    )


def test_a_file_is_free_after_its_back_end_was_stopped(command: RunCommand, disk: Path) -> None:
    command("backend", "stop", "first")
    assert command("backend", "start", "--storage", f"file:{disk}").status == 0


def test_a_file_has_several_readers(command: RunCommand, disk: Path) -> None:
    command("backend", "stop", "first")
    words = ("backend", "start", "--read-only", "--storage", f"file:{disk}")
    assert [command(*words).status for _ in range(2)] == [0, 0]
