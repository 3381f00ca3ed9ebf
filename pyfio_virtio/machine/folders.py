# SPDX-License-Identifier: GPL-2.0-or-later
"""The private folders of this user, for sockets, records, copies of jobs, and the cache.

Owns one folder for each user, with mode 0700. In it are a folder for each run and one for each
back-end that keeps running. A second folder is in memory, for runs that need their files there. A
process that works in a run's or a back-end's folder holds its lock, so a folder that can be locked
is left over. The user's folder is used only if no other user can write to it or replace it, so that
its content belongs to this user. Called from the main thread.
"""

import errno
import fcntl
import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pyfio_virtio.errors import MachineError, UsageError
from pyfio_virtio.machine.process import this_process

# Its files are in memory on every Linux; we use a private folder in it.
_MEMORY = Path("/dev/shm")  # noqa: S108
# sizeof(sun_path) without the closing zero, unix(7).
SOCKET_PATH_BYTES = 107
_LOCK_INTERVAL_S = 0.02  # between two tries to take a lock
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ADVICE = "set XDG_RUNTIME_DIR to a folder of yours"
_CACHE_ADVICE = "set XDG_CACHE_HOME to a folder of yours"


def state_folder() -> Path:
    """The path of this user's folder. The folder is neither made nor checked here.

    XDG_RUNTIME_DIR is not used if it is another user's, because su keeps the variable.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and not flaw_above(runtime):
        return runtime.resolve() / "pyfio-virtio"
    try:
        temporary = Path(tempfile.gettempdir()).resolve()
    except OSError as error:
        raise MachineError("there is no folder for sockets", str(error), _ADVICE) from error
    return temporary / f"pyfio-virtio-{os.geteuid()}"


def memory_folder() -> Path:
    """The path of this user's folder in memory. The folder is neither made nor checked here."""
    return _MEMORY / f"pyfio-virtio-{os.geteuid()}"


def make_state_folder() -> Path:
    """Makes this user's folder, and refuses a folder that others can change."""
    return _make_private(state_folder())


def _make_private(folder: Path) -> Path:
    _check_above(folder)
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    except OSError as error:
        why = error.strerror or str(error)
        raise MachineError(f"cannot make the folder {folder}", why, _advice()) from error
    _check(folder)
    folder.chmod(0o700)
    return folder


def find_state_folder() -> Path | None:
    """This user's folder; None if there is none. Refuses a folder that others can change."""
    folder = state_folder()
    if not os.path.lexists(folder):
        return None
    _check_above(folder)
    _check(folder)
    return folder


def check_writable(folder: Path) -> None:
    """Refuses a folder of this user in which no file can be made, or that cannot be made."""
    place = folder if folder.exists() else folder.parent
    room = os.statvfs(place)
    if not os.access(place, os.W_OK | os.X_OK):
        why = "Read-only file system" if room.f_flag & os.ST_RDONLY else "Permission denied"
    elif (room.f_blocks and not room.f_bavail) or (room.f_files and not room.f_favail):
        why = "No space left on device"
    else:
        return
    raise MachineError(f"cannot write to {place}", why, _advice())


def _check_above(folder: Path) -> None:
    if why := flaw_above(folder.parent):
        raise MachineError(f"will not use {folder}", why, _advice())


def _check(folder: Path) -> None:
    if why := flaw(folder):
        raise MachineError(f"will not use {folder}", why, f"remove it, or {_advice()}")


def _advice() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    why = flaw_above(Path(runtime)) if runtime else ""
    return _ADVICE + (f" (now it is {runtime}, but {why})" if why else "")


def flaw(folder: Path) -> str:
    """Why the content of `folder` may belong to another user; "" if it cannot."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder of yours"
    if status.st_uid != os.geteuid():
        return f"it is not a folder of yours, it belongs to {_name(status.st_uid)}"
    if status.st_mode & _OTHERS_WRITE:
        return "other users may write to it, so its content may be theirs"
    return ""


def flaw_above(folder: Path) -> str:
    """Why another user could replace the entries of `folder`; "" if only root can, or if it does
    not exist."""
    # In a user namespace, root's files have another owner, so the owner of / is trusted as root is.
    trusted = {0, os.geteuid(), Path("/").stat().st_uid}
    try:
        folder = folder.resolve(strict=True)
        for place in (folder, *folder.parents):
            status = place.lstat()
            if not stat.S_ISDIR(status.st_mode):
                return f"{place} is not a folder"
            if status.st_uid not in trusted:
                return f"{place} belongs to {_name(status.st_uid)}"
            if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
                return f"other users may rename files in {place}"
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{error.filename or folder}: {error.strerror or error}"
    except RuntimeError:  # from resolve(), if symbolic links form a circle
        return f"the symbolic links of {folder} form a circle"
    return ""


def flaw_of_all(folder: Path) -> str:
    """Why what lies in the folder may be another user's; "" if it cannot be."""
    return flaw_above(folder) or flaw(folder)


def _name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


# ---- the cache -----------------------------------------------------------------------------------


def cache_folder() -> Path:
    """The path of this user's folder for what can be made again. It is neither made nor checked.

    Folders of other users are passed over, because sudo and su may keep the variables.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = Path(os.environ.get("HOME", ""))
    places = [named, home / ".cache", _home() / ".cache"]
    fitting = (each for each in places if each.is_absolute() and not _flaw_of_nearest(each))
    return next(fitting, places[-1]) / "pyfio-virtio"


def make_in_cache(folder: Path) -> Path:
    """Makes a folder below cache_folder(), and refuses one that others can change."""
    try:
        if why := _flaw_of_nearest(folder):
            raise MachineError(f"will not use {folder}", why, _CACHE_ADVICE)
        # The umask may let a group write to parents that mkdir(parents=True) makes.
        for each in reversed([folder, *folder.parents]):
            each.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise MachineError(f"cannot make the folder {folder}", why, _CACHE_ADVICE) from error
    if why := flaw_of_all(folder):
        raise MachineError(f"will not use {folder}", why, _CACHE_ADVICE)
    return folder


def _flaw_of_nearest(folder: Path) -> str:
    """Why another user could replace what is made at `folder`, which need not exist."""
    existing = (each for each in (folder, *folder.parents) if os.path.lexists(each))
    return flaw_above(next(existing))


def _home() -> Path:
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return Path("/")


# ---- folders in use -----------------------------------------------------------------------------


def claim(folder: Path, wait_s: float = 0) -> int | None:
    """Makes `folder`, or takes it over when no process works in it; None if one still does.

    The folder belongs to this process until the returned descriptor is closed.
    """
    deadline = time.monotonic() + wait_s
    while True:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # the process that worked in it has just removed it
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            is_locked = _lock(descriptor)
            if is_locked and _is_at(folder, descriptor):
                return descriptor
            os.close(descriptor)
            if not is_locked and time.monotonic() >= deadline:
                return None
            time.sleep(0 if is_locked else _LOCK_INTERVAL_S)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_plain(path: Path) -> IO[bytes]:
    """Opens a regular file of this user for reading. No link is followed; no pipe blocks it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file of yours", str(path))


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file or folder is still the one at its path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False


def run_folder_path(parent: Path | None = None) -> Path:
    """The path of the folder for this process's run, by default in state_folder()."""
    me = this_process()
    return (parent or state_folder()) / f"run-{me.pid}-{me.start_ticks}"


@contextmanager
def run_folder(folder: Path) -> Iterator[None]:
    """Makes a folder of mode 0700 for this run, and removes it at the end."""
    remove_stale_run_folders(_make_private(folder.parent))
    # Another run that looks for stale folders may hold it for a moment.
    descriptor = claim(folder, wait_s=5)
    if descriptor is None:
        raise MachineError(f"cannot use {folder}", "another process works in it", _advice())
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_stale_run_folders(folder: Path) -> None:
    """Removes the folders of runs that were killed."""
    for entry in folder.glob("run-*-*"):
        if re.fullmatch(r"run-\d+-\d+", entry.name):
            with suppress(OSError):
                _remove_if_left(entry)


def _remove_if_left(folder: Path) -> None:
    descriptor = claim(folder)
    if descriptor is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def check_socket_path(path: str) -> None:
    """Refuses a path that is too long for a Unix socket."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise UsageError(
            f"cannot use the socket path {path}",
            f"it has {length} bytes, and Unix sockets allow {SOCKET_PATH_BYTES}",
            "choose a shorter path (XDG_RUNTIME_DIR and TMPDIR are part of the default path)",
        )


def absolute(path: str) -> str:
    """`path` as an absolute path. Symbolic links are not resolved."""
    return str(Path(path).absolute())
