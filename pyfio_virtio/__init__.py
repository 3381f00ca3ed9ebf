# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio: fio over vhost-user, and virtio disks for Python programs.

    import pyfio_virtio

    with pyfio_virtio.open("vhost.sock") as disk:
        print(disk.pread(512, 0))

The version is in the package's metadata alone.
"""

from pyfio_virtio.disk.disk import Disk
from pyfio_virtio.disk.disk import open_disk as open  # noqa: A004 - meant to be called with its package
from pyfio_virtio.errors import DiskError, PyfioVirtioError

__all__ = ["Disk", "DiskError", "PyfioVirtioError", "open"]
