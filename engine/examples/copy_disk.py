#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies a disk to another one with many operations in flight.

python copy_disk.py source.sock target.sock
"""

import asyncio
import sys

from pyfio_virtio import aio

DEPTH = 32
PIECE_BYTES = 128 << 10


async def copy_pieces(source: aio.AsyncDisk, target: aio.AsyncDisk, offsets: list[int]) -> None:
    """Copies pieces until none is left. Several tasks share the list, and each has one buffer."""
    buffer = await source.alloc(PIECE_BYTES)
    while offsets:
        offset = offsets.pop()
        count = await source.preadv([buffer], offset)
        await target.pwrite(buffer[:count], offset)


async def copy(source_socket: str, target_socket: str) -> None:
    async with aio.open(source_socket) as source, aio.open(target_socket) as target:
        if target.size < source.size:
            sys.exit(f"the target has only {target.size} bytes, and the source has {source.size}")
        offsets = list(range(0, source.size, PIECE_BYTES))
        async with asyncio.TaskGroup() as tasks:  # if one fails, it cancels the others
            for _ in range(DEPTH):
                tasks.create_task(copy_pieces(source, target, offsets))
        await target.flush()
        print(source.size, "bytes copied")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: copy_disk.py SOURCE_SOCKET TARGET_SOCKET")
    failed = None
    try:
        asyncio.run(copy(sys.argv[1], sys.argv[2]))
    except* OSError as failures:
        failed = f"cannot copy: {failures.exceptions[0]}"
    sys.exit(failed)
