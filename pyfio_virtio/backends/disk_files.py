# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold the blocks of a disk: whether one can be used, and how a new one is made.

A file that existed before is never changed or removed here. Called from the main thread.
"""

import os
from pathlib import Path

from pyfio_virtio.backends import filling
from pyfio_virtio.errors import UsageError

# Device and inode, so that a later file at the same path is not mistaken for ours.
FileId = tuple[int, int]


def has_file(path: Path, read_only: bool) -> bool:
    """Whether there is a file for a disk. Refuses one that cannot be opened."""
    try:
        # O_NONBLOCK: opening a pipe must not block. It changes nothing for a file or a device.
        flags = os.O_RDONLY if read_only else os.O_RDWR
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"cannot use {path} as storage", error.strerror or str(error)) from error
    return True


def check(path: Path, read_only: bool) -> bool:
    """Whether there is a file. Refuses one that cannot be opened, and a new one in a folder that
    does not exist.
    """
    if has_file(path, read_only):
        return True
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"cannot make {path}",
            f"there is no folder {path.absolute().parent}",
            "make the folder, or name a file in another one",
        )
    return False


def make(path: Path, size_bytes: int, *, is_filled: bool) -> FileId:
    """Makes a new file, or nothing if that fails."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"cannot make {path}", error.strerror or str(error)) from error
    try:
        os.ftruncate(fd, size_bytes)
        if is_filled:
            filling.fill_file(fd, size_bytes)
        made = os.fstat(fd)
    except BaseException as error:  # ^C too: half a disk is of no use
        path.unlink()
        if isinstance(error, OSError):
            raise UsageError(f"cannot make {path}", error.strerror or str(error)) from error
        raise
    finally:
        os.close(fd)
    return made.st_dev, made.st_ino


def remove(path: Path, made: FileId) -> None:
    """Removes a file that make() made, if it is still at its path."""
    try:
        found = path.lstat()
    except OSError:
        return
    if (found.st_dev, found.st_ino) == made:
        path.unlink(missing_ok=True)
