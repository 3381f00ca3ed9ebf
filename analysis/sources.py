# SPDX-License-Identifier: GPL-2.0-or-later
"""The results that a user names: folders of sweeps, and files and folders of fio's JSON.

This file owns what they are called in headings, tables and pictures, and that none of them is
given twice. It looks up paths and reads no results; any thread may call it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pyfio_virtio.errors import UsageError


def names_of(paths: Sequence[str | Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: base and new, or a/out and b/out."""
    every = [Path(os.path.abspath(path)).parts for path in paths]  # noqa: PTH100 - follows no link
    return [
        _shortest_end(parts, [*every[:place], *every[place + 1 :]])
        for place, parts in enumerate(every)
    ]


def _shortest_end(parts: Sequence[str], others: Sequence[Sequence[str]]) -> str:
    for length in range(1, len(parts)):
        if all(each[-length:] != parts[-length:] for each in others):
            return str(Path(*parts[-length:]))
    return str(Path(*parts))


def require_different(paths: Sequence[str | Path]) -> None:
    """Refuses results that were given twice, also by another path."""
    first: dict[Path, str | Path] = {}
    for path in paths:
        place = Path(path).resolve()
        if place in first:
            also = "" if str(first[place]) == str(path) else f"it is the same as {first[place]}"
            raise UsageError(f"{path} was given twice", also, "name each folder or file once")
        first[place] = path
