# SPDX-License-Identifier: GPL-2.0-or-later
"""A slow link with losses between two network namespaces, for a kernel without netem.

    python -m tests.pyfio_virtio.hosts.slow_link PID DEVICE PID DEVICE DELAY_S LOSS

makes one TAP device in the namespace of each process, and carries frames between them until its
stdin ends. A frame comes after half of DELAY_S, so that a round trip takes all of it; LOSS is the
share of frames that never come, which are the same ones each time. It prints a line when the
devices are there.
"""

import ctypes
import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque
from contextlib import suppress

_SET_INTERFACE = 0x400454CA  # TUNSETIFF
_TAP, _NO_INFORMATION = 0x0002, 0x1000  # IFF_TAP, IFF_NO_PI
_FRAME_BYTES = 1 << 16
# What a router would keep for this link; the rest is lost, too.
_MOST_FRAMES = 10_000


def _enter(pid: str) -> None:
    """Enters the namespace of a process."""
    with open(f"/proc/{pid}/ns/net") as space:  # noqa: PTH123 - a descriptor is wanted
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _tap(pid: str, device: str) -> int:
    """A new device in the namespace of a process. This process is there, too, from then on."""
    _enter(pid)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    wanted = struct.pack("16sH22x", device.encode(), _TAP | _NO_INFORMATION)
    fcntl.ioctl(descriptor, _SET_INTERFACE, wanted)
    return descriptor


def _carry(ends: tuple[int, int], one_way_s: float, loss: float) -> None:
    chance = random.Random(1)
    ways: dict[int, deque[tuple[float, bytes]]] = {end: deque() for end in ends}
    while True:
        due = min((way[0][0] for way in ways.values() if way), default=None)
        wait_s = None if due is None else max(0.0, due - time.monotonic())
        ready, _, _ = select.select([*ends, 0], [], [], wait_s)
        if 0 in ready:
            return
        for end in ready:
            frame = os.read(end, _FRAME_BYTES)
            other = ends[1 - ends.index(end)]
            if chance.random() >= loss and len(ways[other]) < _MOST_FRAMES:
                ways[other].append((time.monotonic() + one_way_s, frame))
        for end, way in ways.items():
            while way and way[0][0] <= time.monotonic():
                with suppress(OSError):  # the device is down, or full: the frame is lost
                    os.write(end, way.popleft()[1])


def main() -> None:
    first, device, second, other_device, delay_s, loss = sys.argv[1:]
    ends = (_tap(first, device), _tap(second, other_device))
    _enter(str(os.getppid()))  # no process of a host
    print("ready", flush=True)
    _carry(ends, float(delay_s) / 2, float(loss))


if __name__ == "__main__":
    main()
