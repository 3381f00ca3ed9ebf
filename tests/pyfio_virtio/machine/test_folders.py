# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/folders.py: the private folders of a user and of a run."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyfio_virtio.errors import MachineError, UsageError
from pyfio_virtio.machine import folders

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes folders of another user")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_users_folder_is_private(private: Path) -> None:
    assert _mode(folders.make_state_folder()) == 0o700


def test_a_folder_that_others_may_enter_is_closed(private: Path) -> None:
    folders.state_folder().mkdir(mode=0o755)
    assert _mode(folders.make_state_folder()) == 0o700


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(private: Path, mode: int) -> None:
    folders.make_state_folder().chmod(mode)
    with pytest.raises(MachineError, match="may write to it"):
        folders.make_state_folder()
    with pytest.raises(MachineError, match="may write to it"):
        folders.find_state_folder()


@pytest.mark.parametrize("kind", ["file", "dead link", "pipe"])
def test_anything_else_in_its_place_is_refused(private: Path, kind: str) -> None:
    place = folders.state_folder()
    if kind == "file":
        place.touch()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(private / "none")
    with pytest.raises(MachineError, match="not a folder of yours"):
        folders.make_state_folder()
    with pytest.raises(MachineError, match="not a folder of yours"):
        folders.find_state_folder()


def test_a_link_in_its_place_is_refused(private: Path) -> None:
    folders.state_folder().symlink_to("/")
    with pytest.raises(MachineError, match="not a folder of yours"):
        folders.make_state_folder()


def test_without_a_runtime_folder_the_temporary_one_serves(
    monkeypatch: pytest.MonkeyPatch, private: Path
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert folders.state_folder().name == f"pyfio-virtio-{os.getuid()}"


@needs_root
def test_a_runtime_folder_of_another_user_is_not_used(
    monkeypatch: pytest.MonkeyPatch, private: Path
) -> None:
    theirs = private / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))
    assert folders.state_folder().parent == Path(tempfile.gettempdir())


@pytest.mark.parametrize("name", ["file", "loop", ""])
def test_a_runtime_folder_that_is_none_is_not_used(
    monkeypatch: pytest.MonkeyPatch, private: Path, name: str
) -> None:
    (private / "file").touch()
    (private / "loop").symlink_to("loop")
    monkeypatch.setenv("XDG_RUNTIME_DIR", name and str(private / name))
    assert folders.state_folder().parent == Path(tempfile.gettempdir())


@needs_root
def test_a_folder_that_another_user_made_is_named_with_its_owner(
    monkeypatch: pytest.MonkeyPatch, private: Path
) -> None:
    folders.state_folder().mkdir()
    os.chown(folders.state_folder(), NOBODY, NOBODY)
    with pytest.raises(MachineError, match="belongs to user nobody; remove it, or set XDG_RUNTIME"):
        folders.make_state_folder()


# ---- any folder that another user could change, by that user's own hand -----------------------

OWNERS = (0, NOBODY)
MODES = (0o700, 0o711, 0o755, 0o770, 0o775, 0o707, 0o777, 0o1777, 0o1755)
PLACES = st.tuples(st.sampled_from(OWNERS), st.sampled_from(MODES))


def _can_another_user(folder: Path, above: list[Path]) -> bool:
    """Whether nobody can put a file into `folder`, or another folder in its place."""
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os._exit(_change(folder, above))
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1)
    return os.waitstatus_to_exitcode(status) == 1


def _change(folder: Path, above: list[Path]) -> bool:
    places = (folder, *above)
    changes: list[Callable[[], object]] = [(folder / "planted").touch]
    changes += [partial(place.chmod, 0o777) for place in places]  # only its owner can
    changes += [partial(place.rename, place.with_name("moved")) for place in places]
    for change in changes:
        with suppress(OSError):
            change()
            return True
    return False


@needs_root
@settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])
@given(above=st.lists(PLACES, min_size=1, max_size=3), own=PLACES)
def test_a_folder_that_another_user_can_change_is_never_used(
    above: list[tuple[int, int]], own: tuple[int, int]
) -> None:
    root = Path(tempfile.mkdtemp(prefix="pv-"))
    root.chmod(0o755)
    places = [root.joinpath(*("abc"[: number + 1])) for number in range(len(above))]
    for place in places:
        place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        # Not as XDG_RUNTIME_DIR, which is passed over if it will not do.
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        patch.setattr(tempfile, "tempdir", str(places[-1]))
        folder = folders.state_folder()
        folder.mkdir()
        for place, (owner, mode) in zip((*places, folder), (*above, own), strict=True):
            os.chown(place, owner, owner)
            place.chmod(mode)
        try:
            used = folders.find_state_folder()
        except MachineError:
            used = None
    if used is not None:
        assert not _can_another_user(folder, places)
    shutil.rmtree(root)


# ---- who works in a folder ------------------------------------------------------------------


def test_a_folder_is_claimed_once(private: Path) -> None:
    held = folders.claim(private / "f")
    assert held is not None
    assert folders.claim(private / "f") is None
    os.close(held)


def test_a_folder_that_is_left_over_can_be_claimed(private: Path) -> None:
    (private / "f").mkdir()
    held = folders.claim(private / "f")
    assert held is not None
    os.close(held)


def test_a_link_is_not_claimed(private: Path) -> None:
    (private / "f").symlink_to("/tmp")  # noqa: S108
    with pytest.raises(OSError, match="f"):
        folders.claim(private / "f")


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


def test_what_a_run_of_another_boot_left_in_our_place_is_removed(private: Path) -> None:
    folder = folders.run_folder_path()
    folders.make_state_folder()
    folder.mkdir()
    (folder / "old").touch()
    with folders.run_folder(folder):
        assert list(folder.iterdir()) == []


def test_a_link_in_the_place_of_a_stale_folder_leads_nowhere(private: Path) -> None:
    precious = private / "precious"
    precious.mkdir()
    (folders.make_state_folder() / "run-1-1").symlink_to(precious)
    folders.remove_stale_run_folders(folders.state_folder())
    assert precious.is_dir()


def test_the_folder_of_a_run_may_lie_elsewhere(private: Path) -> None:
    folder = folders.run_folder_path(private / "memory")
    with folders.run_folder(folder):
        assert (_mode(folder.parent), _mode(folder)) == (0o700, 0o700)


def test_files_in_the_folder_in_memory_are_in_memory() -> None:
    partitions = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
    assert partitions[str(folders.memory_folder().parent)] == "tmpfs"


def test_a_run_that_goes_on_keeps_its_folder(private: Path) -> None:
    folder = folders.run_folder_path()
    with folders.run_folder(folder):
        folders.remove_stale_run_folders(folder.parent)
        assert folder.exists()


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    folders.check_socket_path("/" + "a" * 106)
    with pytest.raises(UsageError, match="108 bytes"):
        folders.check_socket_path("/" + "a" * 107)
