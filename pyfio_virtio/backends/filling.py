# SPDX-License-Identifier: GPL-2.0-or-later
"""Fills disks before they are measured, as long as there is ample room for them.

The first touch of a page or a block takes several times as long as a later one, so the first
seconds on an empty disk measure how the kernel allocates. Called from the main thread. It never
takes more than half of what is free, and touches no file that was there before.
"""

import os
from collections.abc import Callable
from pathlib import Path

from pyfio_virtio.machine import memory, signals
from pyfio_virtio.sizes import format_size

_PIECE_BYTES = 1 << 20
# Zeroes, as a new file has them; written, so that its blocks are there before they are measured.
_PIECE = bytes(_PIECE_BYTES)
_SLICE_BYTES = 64 << 20


def short_of_memory(size_bytes: int) -> str:
    """Why memory of that size is not filled beforehand; "" if it is."""
    free = memory.free_bytes()
    if size_bytes <= free // 2:
        return ""
    return (
        f"{_shown(size_bytes)} of memory are more than half of the {_shown(free)} that are free, "
        "so its pages are filled as they are used, which slows down their first use"
    )


def short_of_room(path: Path, size_bytes: int) -> str:
    """Why a new file of that size is not filled beforehand; "" if it is."""
    file_system = os.statvfs(path.parent)
    free = file_system.f_bavail * file_system.f_frsize
    if size_bytes <= free // 2:
        return ""
    return (
        f"{_shown(size_bytes)} are more than half of the {_shown(free)} that are free in "
        f"{path.parent}, so the blocks of {path.name} are allocated as they are used, which slows "
        "down their first use"
    )


def _shown(size_bytes: int) -> str:
    """In whole MiB, which are exact enough for what changes all the time."""
    return format_size(size_bytes >> 20 << 20)


def fill_memory(fd: int, size_bytes: int) -> None:
    """Allocates all pages of a file in memory."""
    threads = len(os.sched_getaffinity(0))
    starts = range(0, size_bytes, max(_SLICE_BYTES, -(-size_bytes // threads)))
    _in_threads(
        lambda start: os.posix_fallocate(fd, start, min(starts.step, size_bytes - start)), starts
    )


def _in_threads(work: Callable[[int], None], starts: range) -> None:
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and mostly not needed

    with ThreadPoolExecutor(len(starts)) as pool:
        with signals.held_from_threads():
            parts = [pool.submit(work, start) for start in starts]
        for done in parts:
            done.result()


def fill_file(fd: int, size_bytes: int) -> None:
    """Writes all of a new file, and waits until its device has it: the rest of that work would
    compete with what is measured."""
    for start in range(0, size_bytes, _PIECE_BYTES):
        piece = memoryview(_PIECE)[: size_bytes - start]
        while piece:
            written = os.pwrite(fd, piece, start)
            piece, start = piece[written:], start + written
    os.fdatasync(fd)
