# SPDX-License-Identifier: GPL-2.0-or-later
"""One file of /proc or /sys with a fact about this machine. Any thread may call."""

from pathlib import Path


def read(path: Path) -> str | None:
    """Its text without the end of the line. A file that cannot be read counts as absent."""
    try:
        return path.read_text().strip()
    except OSError:
        return None
