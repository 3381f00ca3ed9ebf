# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks for asyncio. open() takes the arguments of pyfio_virtio.open().

async with pyfio_virtio.aio.open("vhost.sock") as disk:
    await disk.pwrite(b"hello", 1000)
    print(await disk.pread(5, 1000))
"""

from pyfio_virtio.disk.async_disk import AsyncDisk
from pyfio_virtio.disk.async_disk import open_async_disk as open  # noqa: A004 - used as aio.open()

__all__ = ["AsyncDisk", "open"]
