# SPDX-License-Identifier: GPL-2.0-or-later
"""How many files the controller may have open, of which it needs some for each host.

Owns this process's limit, which is raised as far as it may be. Without room, hosts would fail one
by one in the middle of a run.
"""

from __future__ import annotations

import resource

from pyfio_virtio.errors import MachineError

# The connection, fio's client, its socket, folder, log and connection, and a tunnel.
_EACH_HOST = 8
_OTHERS = 64


def make_room(hosts: int) -> None:
    """Raises the limit if it is too low for a run on so many hosts; refuses if it may not."""
    needed = _OTHERS + _EACH_HOST * hosts
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY or now >= needed:
        return
    if most != resource.RLIM_INFINITY and most < needed:
        raise MachineError(
            f"cannot use {hosts} hosts",
            f"they need {needed} open files, and {most} are allowed",
            f"raise the limit, as root: ulimit -Hn {needed}",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))
