# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio: fio over vhost-user, and virtio disks for Python programs.

    import pyfio_virtio

    with pyfio_virtio.open("vhost.sock") as disk:
        print(disk.pread(512, 0))

The version is only in the package's metadata.
"""

from pyfio_virtio.disk.disk import Disk
from pyfio_virtio.disk.disk import open_disk as open  # noqa: A004 - used as pyfio_virtio.open()
from pyfio_virtio.errors import DiskError, PyfioVirtioError

__all__ = ["Disk", "DiskError", "PyfioVirtioError", "open"]
