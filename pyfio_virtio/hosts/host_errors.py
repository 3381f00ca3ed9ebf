# SPDX-License-Identifier: GPL-2.0-or-later
"""The failure of one host among several, which names the host. Pure."""

from __future__ import annotations

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.hosts.hosts_file import Host

_LONGEST = 1000


class HostError(PyfioVirtioError):
    """What is wrong with one host. The others are not affected."""

    def __init__(self, host: Host, why: str, next_step: str = "") -> None:
        super().__init__(str(host), printable(why), printable(next_step))
        self.host = host


def printable(text: str) -> str:
    """What a host said, in one line and without what a terminal would carry out."""
    line = " ".join(text[: 4 * _LONGEST].split())
    clean = "".join(each if each.isprintable() else "?" for each in line)
    return clean if len(clean) <= _LONGEST else f"{clean[:_LONGEST]}..."
