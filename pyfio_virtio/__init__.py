# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio: fio over vhost-user, and virtio disks for Python programs.

    import pyfio_virtio

    with pyfio_virtio.open("vhost.sock") as disk:
        print(disk.pread(512, 0))

pyfio_virtio.aio is the same for asyncio. The version is only in the package's metadata.
"""

from typing import TYPE_CHECKING

from pyfio_virtio.errors import ArgumentError, DiskError, PyfioVirtioError

if TYPE_CHECKING:
    from pyfio_virtio import aio
    from pyfio_virtio.disk.disk import Disk
    from pyfio_virtio.disk.disk import open_disk as open  # noqa: A004 - as pyfio_virtio.open()
    from pyfio_virtio.disk.operation import Discard, Flush, Read, Write, WriteZeroes
else:
    # These are imported when they are first used: a back-end or a command that has no disk starts
    # in half of the time without them, and asyncio takes longer than all of the rest.
    _OPERATIONS = ("Discard", "Flush", "Read", "Write", "WriteZeroes")
    _PLACES = {
        "aio": ("pyfio_virtio.aio", ""),
        "Disk": ("pyfio_virtio.disk.disk", "Disk"),
        "open": ("pyfio_virtio.disk.disk", "open_disk"),
        **{name: ("pyfio_virtio.disk.operation", name) for name in _OPERATIONS},
    }

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module, attribute = _PLACES[name]
        found = import_module(module)
        globals()[name] = getattr(found, attribute) if attribute else found
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


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
