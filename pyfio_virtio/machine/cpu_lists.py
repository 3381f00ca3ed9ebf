# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of CPUs as users write them (0,2-3), and whether this machine has these CPUs.

Reads /sys and changes nothing. Any thread may call.
"""

import os
import re
from pathlib import Path

from pyfio_virtio.errors import UsageError

# As taskset takes them; the last number is a step.
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?", re.ASCII)
_ONLINE = Path("/sys/devices/system/cpu/online")


def parse(text: str) -> set[int]:
    """The CPUs of a list. Raises ValueError if it is no list."""
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(text)
        first, last, step = match.groups()
        found |= set(range(int(first), int(last or first) + 1, int(step or 1) or 1))
    return found


def check(text: str, flag: str) -> None:
    """Refuses what is no list of CPUs, and CPUs that this machine does not have."""
    online = _online()
    has = f"this machine has CPUs {shown(online)}"
    try:
        wanted = parse(text)
    except ValueError as error:
        raise UsageError(
            f"cannot use {flag}", f"{text!r} is not a list of CPUs such as 0,2-3", has
        ) from error
    if missing := wanted - online:
        raise UsageError(
            f"cannot use {flag}",
            f"there is no CPU {shown(missing)}",
            has,
        )


def shown(cpus: set[int]) -> str:
    """The list as users write it: 0-1,4."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)


def _online() -> set[int]:
    try:
        return parse(_ONLINE.read_text().strip())
    except (OSError, ValueError):
        return set(range(os.cpu_count() or 1))
