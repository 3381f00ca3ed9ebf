# SPDX-License-Identifier: GPL-2.0-or-later
"""folders.py: the private folders of a user and of a run."""

import os
import stat
from pathlib import Path

import pytest

from pyfio_virtio import folders
from pyfio_virtio.errors import MachineError, UsageError


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_users_folder_is_private(private: Path) -> None:
    assert _mode(folders.make_state_folder()) == 0o700


def test_a_folder_that_others_may_enter_is_closed(private: Path) -> None:
    folders.state_folder().mkdir(mode=0o777)
    assert _mode(folders.make_state_folder()) == 0o700


def test_a_link_in_its_place_is_refused(private: Path) -> None:
    folders.state_folder().symlink_to("/")
    with pytest.raises(MachineError, match="not a folder of yours"):
        folders.make_state_folder()


def test_without_a_runtime_folder_the_temporary_one_serves(
    monkeypatch: pytest.MonkeyPatch, private: Path
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert folders.state_folder().name == f"pyfio-virtio-{os.getuid()}"


def test_the_folder_of_a_run_is_private_and_goes(private: Path) -> None:
    folder = folders.run_folder_path()
    with folders.run_folder(folder):
        assert _mode(folder) == 0o700
    assert not folder.exists()


def test_what_a_killed_run_left_is_removed(private: Path) -> None:
    left = folders.make_state_folder() / f"run-{os.getpid()}-1"  # nobody started at tick 1
    left.mkdir()
    with folders.run_folder(folders.run_folder_path()):
        assert not left.exists()


def test_a_run_that_goes_on_keeps_its_folder(private: Path) -> None:
    folder = folders.run_folder_path()
    with folders.run_folder(folder):
        folders.remove_stale_run_folders(folder.parent)
        assert folder.exists()


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    folders.check_socket_path("/" + "a" * 106)
    with pytest.raises(UsageError, match="108 bytes"):
        folders.check_socket_path("/" + "a" * 107)
