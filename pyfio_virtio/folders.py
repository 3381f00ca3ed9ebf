# SPDX-License-Identifier: GPL-2.0-or-later
"""The folders in which sockets, records and job copies of this user lie.

Owns one folder per user, mode 0700, and in it a folder for each run, which is removed at the end
of the run, or by a later run when the first was killed. Called from the main thread.
"""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyfio_virtio.errors import MachineError, UsageError
from pyfio_virtio.process import Process, this_process

# sizeof(sun_path) less the closing zero, unix(7).
SOCKET_PATH_BYTES = 107


def state_folder() -> Path:
    """This user's folder; not made yet."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "pyfio-virtio"
    return Path(tempfile.gettempdir()) / f"pyfio-virtio-{os.getuid()}"


def make_state_folder() -> Path:
    """Makes this user's folder, and refuses one that somebody else prepared."""
    folder = state_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise MachineError(
            f"cannot make the folder {folder}", error.strerror or str(error), "set XDG_RUNTIME_DIR"
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise MachineError(
            f"will not use {folder}", "it is not a folder of yours", "remove it or set TMPDIR"
        )
    folder.chmod(0o700)
    return folder


def run_folder_path() -> Path:
    """Where this process keeps the files of its run; not made yet."""
    me = this_process()
    return state_folder() / f"run-{me.pid}-{me.start_ticks}"


@contextmanager
def run_folder(folder: Path) -> Iterator[None]:
    """Makes a folder of mode 0700 for this run, gone afterwards."""
    remove_stale_run_folders(make_state_folder())
    folder.mkdir(mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale_run_folders(folder: Path) -> None:
    """Removes what runs that were killed left behind."""
    for entry in folder.glob("run-*-*"):
        name = re.fullmatch(r"run-(\d+)-(\d+)", entry.name)
        if name and not Process(int(name[1]), int(name[2])).is_running():
            shutil.rmtree(entry, ignore_errors=True)


def check_socket_path(path: str) -> None:
    """Refuses a path that no Unix socket can have."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise UsageError(
            f"cannot use the socket path {path}",
            f"it has {length} bytes, and Unix sockets allow {SOCKET_PATH_BYTES}",
            "choose a shorter path (XDG_RUNTIME_DIR and TMPDIR count)",
        )


def absolute(path: str) -> str:
    """`path` as seen from anywhere, symbolic links left alone."""
    return str(Path(path).absolute())
