# SPDX-License-Identifier: GPL-2.0-or-later
"""What passes between `fio --client` here and fio's server on a host, frame by frame.

Owns what a host's fio may ask of our fio. fio's own client trusts its server: on request it sends
any file of this machine, and it writes logs to any path that the server names. So only whole frames
pass, and only those that belong to a run. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.wire import FRAME_BYTES, Frame, WireError

# Logs and results of one run; more than this is no measurement.
MOST_BYTES = 4 << 30
# The name of a log stands behind numbers, of which releases of fio have more or fewer.
_NAMES_FROM = (28, 32, 36, 40, 44)
_NAME_BYTES = 256


class Whole:
    """Cuts one direction of a stream into whole frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0

    def feed(self, piece: bytes) -> Iterator[tuple[Frame, bytes]]:
        """The frames that these bytes complete, each with all its bytes."""
        self._bytes += piece
        self._count += len(piece)
        if self._count > MOST_BYTES:
            raise WireError("its fio sends too much", f"more than {MOST_BYTES >> 30} GiB in a run")
        while len(self._bytes) >= FRAME_BYTES:
            frame = wire.frame_of(bytes(self._bytes[:FRAME_BYTES]))
            size = FRAME_BYTES + frame.length
            if len(self._bytes) < size:
                return
            whole = bytes(self._bytes[:size])
            del self._bytes[:size]
            yield frame, whole


class Answers:
    """The direction from a host's fio server to our client."""

    def __init__(self) -> None:
        self._whole = Whole()
        self._continues = False

    def feed(self, piece: bytes) -> bytes:
        """The bytes that our client may get. Raises WireError for what it may not."""
        passed = bytearray()
        for frame, whole in self._whole.feed(piece):
            if frame.opcode not in wire.ANSWERS:
                raise WireError(
                    "its fio asks for something that no run needs", f"opcode {frame.opcode}"
                )
            if frame.opcode == wire.OPCODE_IOLOG and not self._continues:
                _check_name(whole[FRAME_BYTES:])
            self._continues = bool(frame.flags & wire.FLAG_MORE)
            passed += whole
        return bytes(passed)


def _check_name(log: bytes) -> None:
    """Refuses a log whose name leads out of the folder in which our fio runs."""
    for place in _NAMES_FROM:
        name = log[place : place + _NAME_BYTES].split(b"\0")[0]
        if b"/" in name or name.startswith(b".."):
            raise WireError("its fio sends a log for another folder", f"{name[:60]!r}")
