# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads and writes sizes such as 512, 4k and 1G, in powers of 1024, and times such as 2s and 500ms,
as in fio. Pure.
"""

import math
import re

from pyfio_virtio.errors import UsageError

_UNITS = ("", "k", "m", "g", "t")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


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


def parse_seconds(text: str) -> float:
    """Reads "2", "2s" or "500ms" as a number of seconds."""
    match = re.fullmatch(r"(.*?)\s*(us|ms|[smhd])?", text.strip().lower(), re.DOTALL)
    try:
        seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else math.nan
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UsageError(f"{text!r} is not a time", "", "write it as 2, 2s or 500ms")
    return seconds


def format_seconds(seconds: float) -> str:
    """Writes a time for fio: 2.0 as "2", and 0.5 as "500ms"."""
    microseconds = round(seconds * 1_000_000)
    for unit, length in (("", 1_000_000), ("ms", 1000)):
        if microseconds % length == 0:
            return f"{microseconds // length}{unit}"
    return f"{microseconds}us"
