# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m pyfio_virtio`: the same as the command pyfio-virtio."""

from pyfio_virtio.cli import main

if __name__ == "__main__":
    main()
