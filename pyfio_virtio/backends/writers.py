# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a file can hold a disk while the back-ends of this user run: it has one writer.

It reads the records and changes nothing. Called from the main thread.
"""

from pathlib import Path

from pyfio_virtio.backends import records
from pyfio_virtio.errors import MachineError, UsageError


def check(path: Path, read_only: bool) -> None:
    """Refuses a file that a back-end of ours serves, if one of the two may write to it."""
    try:
        found, _ = records.load_all()
    except MachineError:  # the folder may belong to another user
        return
    for record in found:
        other = record.backend.spec
        if read_only and other.read_only:
            continue
        if other.file and _is_same(path, other.file) and record.backend.is_running():
            raise UsageError(
                f"cannot use {path} as storage",
                f"the back-end {record.name} serves it, and two writers would destroy its data",
                f"pyfio-virtio backend stop {record.name}, or use --read-only for both",
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
