# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory is free: of this machine, and within the control groups of this process.

Reads /proc and /sys and changes nothing. A file that cannot be read counts as absent. Any thread
may call.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from pyfio_virtio.machine.facts import read

# For the two versions of control groups: their folder, and the names of the limit, of the memory in
# use, and of the part of it that can be freed at once.
_GROUPS = (
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def free_bytes(root: Path = Path("/")) -> int:
    """The memory that this process may still take, within its control groups' limits."""
    kib = _fields(root / "proc/meminfo").get("MemAvailable")
    machine = sys.maxsize if kib is None else kib * 1024
    return max(0, min([machine, *_rooms_of_groups(root)]))


def _rooms_of_groups(root: Path) -> Iterator[int]:
    for line in (read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        place, limit, used, idle = _GROUPS[1 if controllers else 0]
        top = root / place
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            given, taken = read(folder / limit), read(folder / used)
            if given and taken and given.isdecimal():
                yield int(given) - int(taken) + _fields(folder / "memory.stat").get(idle, 0)
            if folder == top:
                break


def _fields(path: Path) -> dict[str, int]:
    """The numbers by name in a file with lines such as "MemFree: 12 kB"."""
    words = [line.split() for line in (read(path) or "").splitlines()]
    return {word[0].rstrip(":"): int(word[1]) for word in words if word[1:] and word[1].isdecimal()}
