# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio: fio over vhost-user, and virtio disks for Python programs.

    import pyfio_virtio

    with pyfio_virtio.open("vhost.sock") as disk:
        print(disk.pread(512, 0))

pyfio_virtio.aio is the same for asyncio. The version is only in the package's metadata.
"""

from typing import TYPE_CHECKING

from pyfio_virtio.disk.disk import Disk
from pyfio_virtio.disk.disk import open_disk as open  # noqa: A004 - used as pyfio_virtio.open()
from pyfio_virtio.disk.operation import Discard, Flush, Read, Write, WriteZeroes
from pyfio_virtio.errors import ArgumentError, DiskError, PyfioVirtioError

if TYPE_CHECKING:
    from pyfio_virtio import aio
else:

    def __getattr__(name: str) -> object:
        """Imports aio when it is first used, because asyncio takes longer than all of the rest."""
        if name == "aio":
            from importlib import import_module

            return import_module("pyfio_virtio.aio")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ArgumentError",
    "Discard",
    "Disk",
    "DiskError",
    "Flush",
    "PyfioVirtioError",
    "Read",
    "Write",
    "WriteZeroes",
    "aio",
    "open",
]
