# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the blocks of a disk are stored, and how that is made ready before a back-end is started.

It never touches a disk that the specification does not name.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pyfio_virtio.backends import disk_files, filling
from pyfio_virtio.backends.kinds import KINDS
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.sizes import format_size

MEMORY_FD_NAME = "pyfio-virtio-disk"


@dataclass(frozen=True)
class Storage:
    """Where the disk's blocks are stored: a path that the back-end opens, or "" for null."""

    path: str = ""
    fds: tuple[int, ...] = field(default=())  # kept open for the back-end
    made: disk_files.FileId | None = None  # the file at `path`, if it was made for this start

    def remove_made(self) -> None:
        """Removes the file that was made, because nothing serves it."""
        if self.made:
            disk_files.remove(Path(self.path), self.made)


def needs_memfd(spec: BackendSpec) -> bool:
    """qemu-storage-daemon serves only files, so a memory disk is passed to it as a file."""
    return KINDS[spec.kind].is_qemu and spec.storage == "memory"


def open_storage(spec: BackendSpec, tell: Callable[[str], None] | None) -> Storage:
    # A file that exists already keeps its size.
    is_new = spec.file is not None and not disk_files.check(spec.file, spec.read_only)
    if tell and (note := spec.note()):
        tell(note)
    if spec.file is not None:
        path, filled = spec.file.absolute(), not spec.unfilled()
        made = disk_files.make(path, spec.size_bytes, is_filled=filled) if is_new else None
        return Storage(str(path), made=made)
    if not needs_memfd(spec):
        return Storage()
    # The memory is freed when the back-end ends, however it ends, so no file can be left over.
    fd = os.memfd_create(MEMORY_FD_NAME)
    try:
        os.ftruncate(fd, spec.size_bytes)
        if not spec.unfilled():
            filling.fill_memory(fd, spec.size_bytes)
    except OSError as error:
        os.close(fd)
        what = f"cannot make a disk of {format_size(spec.size_bytes)} in memory"
        raise PyfioVirtioError(what, error.strerror or str(error), "use a smaller one") from error
    return Storage(f"/proc/self/fd/{fd}", (fd,))
