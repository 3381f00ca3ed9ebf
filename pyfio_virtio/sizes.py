# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads and writes sizes such as 512, 4k and 1G, in powers of 1024 as in fio. Pure."""

import re

from pyfio_virtio.errors import UsageError

_UNITS = ("", "k", "m", "g", "t")


def parse_size(text: str) -> int:
    """Reads "4k" as 4096."""
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is not a size", "", "write it as 4096, 512M or 1G")
    return int(match[1]) << (10 * _UNITS.index(match[2]))


def format_size(size_bytes: int) -> str:
    """Writes 4096 as "4 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes % 1024 or size_bytes < 1024:
            return f"{size_bytes} {unit}"
        size_bytes //= 1024
    return f"{size_bytes} TiB"
