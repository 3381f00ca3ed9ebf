# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of back-ends that we can start: their programs, and whether these are installed."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError

# The kind that `run` and `backend start` use if the user names none.
DEFAULT_KIND = "builtin"
QSD = "qemu-storage-daemon"


@dataclass(frozen=True)
class Kind:
    """A program that can serve: its name, and how to find and install it."""

    program: str
    is_installed: Callable[[], bool]
    how_to_install: str
    grace_s: float = 2.0  # the time that it gets to end before it is killed
    is_qemu: bool = False  # it is qemu-storage-daemon
    is_vhost_user: bool = True  # the engine can use it


_QSD_INSTALL = "install it (Debian 12: apt install qemu-system-common; 13: qemu-utils)"
# Release 7.2 sometimes hangs when it ends. A kill loses nothing, because it buffers no data.
_QSD_GRACE_S = 0.3


def _has_qsd() -> bool:
    return shutil.which(QSD) is not None


KINDS = {
    "builtin": Kind(
        "built-in back-end",
        engine.has_builtin_backend,
        engine.how_to_build(),
    ),
    "qsd": Kind(QSD, _has_qsd, _QSD_INSTALL, _QSD_GRACE_S, is_qemu=True),
    "nbd": Kind(
        f"{QSD} by NBD", _has_qsd, _QSD_INSTALL, _QSD_GRACE_S, is_qemu=True, is_vhost_user=False
    ),
}
VHOST_USER_KINDS = tuple(name for name, kind in KINDS.items() if kind.is_vhost_user)


def check_program(name: str) -> None:
    """Refuses a kind of back-end whose program is not installed."""
    kind = KINDS[name]
    if not kind.is_installed():
        raise MachineError(
            f"cannot start {kind.program}", "there is no such program", kind.how_to_install
        )
